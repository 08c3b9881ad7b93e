"""Run as a script: `ended_commands.py PROJECT_FOLDER '[["doctor", "--json"], …]'`. Runs commands of a Django project
one after another, and prints as JSON which are ours, and the exit code and stderr of each that was run."""

import contextlib
import io
import json
import os
import sys
import traceback
from pathlib import Path


def main(folder: str, commands: str) -> None:
    project = Path(folder)
    sys.path[0] = str(project)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{project.name}.settings"
    import django  # noqa: PLC0415 - after the settings have a name
    from django.core.management import get_commands, load_command_class  # noqa: PLC0415

    from event_stream.terminal import TerminalCommand  # noqa: PLC0415

    def ended(name: str, *arguments: str) -> tuple[object, str]:
        err = io.StringIO()
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            try:
                load_command_class(apps[name], name).run_from_argv(["manage.py", name, *arguments])
            except SystemExit as ending:
                return ending.code, err.getvalue()
            except Exception:  # noqa: BLE001 - as the interpreter does
                traceback.print_exc()
                return 1, err.getvalue()
        return 0, err.getvalue()

    django.setup()
    apps = get_commands()
    ours = [name for name, app in apps.items() if isinstance(load_command_class(app, name), TerminalCommand)]
    all_ended = {name: ended(name, *arguments) for name, *arguments in json.loads(commands)}
    sys.stdout.write("\n" + json.dumps({"ours": ours, "ended": all_ended}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
