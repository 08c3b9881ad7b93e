"""Run as a script: `variables_read.py gunicorn.conf.py manage.py`. Loads both, checks the Django project, and prints
every environment variable that was looked at, as JSON."""

import json
import os
import runpy
import sys

looked_at: set[str] = set()


class Recorded(type(os.environ)):  # type: ignore[misc]
    def __getitem__(self, name: str) -> str:
        looked_at.add(name)
        value: str = super().__getitem__(name)
        return value


def main(gunicorn_configuration: str, manage: str) -> None:
    os.environ.__class__ = Recorded
    # gunicorn reads some itself, when its settings are made.
    import gunicorn.config  # type: ignore[import-untyped]  # noqa: F401, PLC0415

    runpy.run_path(gunicorn_configuration)
    sys.argv = [manage, "check", "--fail-level", "ERROR"]
    runpy.run_path(manage, run_name="__main__")
    sys.stdout.write(json.dumps(sorted(looked_at)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
