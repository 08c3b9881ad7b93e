#!/usr/bin/env python
"""The organization service's commands. Works from any directory."""

import os
import sys
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "org_project.settings")
    from event_stream.terminal import run  # noqa: PLC0415 - needs the setting above

    run(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
