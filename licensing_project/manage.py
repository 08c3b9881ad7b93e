#!/usr/bin/env python
"""The licensing service's commands. Works from any directory."""

import os
import sys
from pathlib import Path


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "licensing_project.settings")
    from django.core.management import execute_from_command_line  # noqa: PLC0415 - needs the setting above

    from event_stream.terminal import checked_output  # noqa: PLC0415

    with checked_output():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
