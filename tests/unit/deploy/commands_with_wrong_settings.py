"""Run as a script: `commands_with_wrong_settings.py PROJECT_FOLDER '{"NAME": "right value"}' NAME VALUE …`.

Runs manage.py with each command that Django and the project have, in a process of its own with one of these wrong
variables, and prints exit codes and stderr as JSON.
"""

import itertools
import json
import os
import runpy
import sys
import tempfile
import traceback
from pathlib import Path

# Imported once, before the processes are forked.
import psycopg.conninfo  # noqa: F401
import redis  # noqa: F401
from django.core.management import get_commands

import event_stream.terminal  # noqa: F401
import service_kit.auth
import service_kit.logging
import service_kit.settings.event_binders  # noqa: F401


def main(folder: str, right: str, *wrong: str) -> None:
    project = Path(folder)
    os.environ.update(json.loads(right))
    names = _commands(project)
    variables = list(zip(wrong[::2], wrong[1::2], strict=True))
    ended = {
        f"{name} {variable}": _ended(project, name, {variable: value})
        for name, (variable, value) in zip(names, itertools.cycle(variables), strict=False)
    }
    sys.stdout.write(json.dumps({"names": names, "ended": ended}) + "\n")


def _commands(project: Path) -> list[str]:
    """Ask a process with right settings, as wrong ones leave Django's own commands only."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        sys.path.insert(0, str(project))
        os.environ["DJANGO_SETTINGS_MODULE"] = f"{project.name}.settings"
        import django  # noqa: PLC0415

        django.setup()
        os.write(writing, json.dumps(sorted(get_commands())).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        names: list[str] = json.load(answer)
    os.wait()
    return names


def _ended(project: Path, name: str, environment: dict[str, str]) -> tuple[int, str]:
    with tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os.dup2(0, 1)
            os.dup2(err.fileno(), 2)
            os.environ.update(environment)
            sys.argv = [str(project / "manage.py"), name]
            code = 1
            try:
                runpy.run_path(sys.argv[0], run_name="__main__")
                code = 0
            except SystemExit as ending:
                code = ending.code if isinstance(ending.code, int) else 1
            except BaseException:  # noqa: BLE001 - as the interpreter does
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        err.seek(0)
        return os.waitstatus_to_exitcode(status), err.read().decode()


if __name__ == "__main__":
    main(*sys.argv[1:])
