"""Run as a script: `forked_commands.py PROJECT_FOLDER '[["doctor", "--json"], …]'`. Runs every command of ours in a
Django project once for each fault, in a process of its own, and prints as JSON how each has ended.

Django is loaded once: each command runs in a fork of that process.
"""

import io
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

_PATIENCE_S = 25.0

Fault = Callable[[], None]


def _unread() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def _full() -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def _nowhere() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


OUTPUTS: dict[str, tuple[Fault, str]] = {
    "unread": (_unread, "utf-8"),
    "full": (_full, "utf-8"),
    "ascii": (_nowhere, "ascii"),
    "latin-1": (_nowhere, "latin-1"),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main(folder: str, commands: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # It takes connections and never answers: each command waits for it, and is there when the signal comes.
        at = f"127.0.0.1:{silent.getsockname()[1]}"
        os.environ["DATABASE_URL"] = f"postgresql://nobody@{at}/none"
        os.environ["REDIS_URL"], os.environ["EVENT_REDIS_URL"] = f"redis://{at}/0", f"redis://{at}/1"
        os.environ["ORGANIZATION_SERVICE_URL"] = f"http://{at}"
        project = Path(folder)
        sys.path[0] = str(project)
        os.environ["DJANGO_SETTINGS_MODULE"] = f"{project.name}.settings"
        import django  # noqa: PLC0415 - after the settings have a name
        from django.core.management import get_commands, load_command_class  # noqa: PLC0415

        from event_stream.terminal import TerminalCommand  # noqa: PLC0415

        django.setup()
        apps = get_commands()
        ours = [name for name, app in apps.items() if isinstance(load_command_class(app, name), TerminalCommand)]
        results = {}
        arguments = {name: more for name, *more in json.loads(commands)}

        def run(name: str, *more: str) -> None:
            load_command_class(apps[name], name).run_from_argv(["manage.py", name, *more])

        for name in ours:
            for fault, (redirect, encoding) in OUTPUTS.items():
                results[f"{name} {fault}"] = _ended(redirect, encoding, partial(run, name, "--help"))
            for number in SIGNALS:
                command = partial(run, name, *arguments.get(name, []))
                results[f"{name} {number.name}"] = _ended(_nowhere, "utf-8", command, (silent, number))
    sys.stdout.write(json.dumps(results) + "\n")


def _ended(
    redirect: Fault,
    encoding: str,
    command: Callable[[], None],
    signalled: tuple[socket.socket, signal.Signals] | None = None,
) -> tuple[int, str]:
    """Exit code, negative for a signal, and stderr."""
    with tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            redirect()
            os.dup2(err.fileno(), 2)
            sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding=encoding)
            os._exit(_interpreted(command))
        code = _wait(child, signalled)
        err.seek(0)
        return code, err.read().decode(errors="replace")


def _interpreted(command: Callable[[], None]) -> int:
    """Do as the interpreter does at its end, without the time that it takes to clear its memory."""
    code: object = 0
    try:
        command()
    except SystemExit as ending:
        code = ending.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        traceback.print_exc()
        code = 120
    if isinstance(code, str):
        sys.stderr.write(f"{code}\n")
        code = 1
    sys.stderr.flush()
    return code if isinstance(code, int) else 0


def _wait(child: int, signalled: tuple[socket.socket, signal.Signals] | None) -> int:
    connections = []
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        waited_for = [signalled[0]] if signalled else []
        if select.select(waited_for, [], [], 0.01)[0] and signalled:
            connections.append(signalled[0].accept())
            if len(connections) == 1:
                os.kill(child, signalled[1])
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -signal.SIGKILL


if __name__ == "__main__":
    main(*sys.argv[1:])
