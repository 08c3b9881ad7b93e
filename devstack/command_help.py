"""The commands of a Django project, or the scripts, with their options, as JSON on stdout.

`python command_help.py PROJECT_FOLDER`, or `python -m devstack.command_help` for the scripts of manage_scripts. The
documents' list of commands is made of it (`devstack.command_reference`).
"""

import argparse
import importlib
import json
import os
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_OF_EVERY_COMMAND = {
    "help",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip_checks",
}


def described(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Arguments as (names, value, help) each; `commands` are its subcommands, described likewise."""
    arguments, commands = [], {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, subparser in action.choices.items():
                commands[name] = described(subparser) | {"text": helps.get(name, "")}
        elif action.dest not in _OF_EVERY_COMMAND and not isinstance(action, argparse._VersionAction):
            arguments.append([list(action.option_strings), _value(action), _help(parser, action)])
    return {"text": parser.description or "", "arguments": arguments, "commands": commands}


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    if action.choices is not None and action.metavar is None:
        return "|".join(map(str, action.choices))
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    return " ".join(name) if isinstance(name, tuple) else name


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    return (action.help or "") % {**vars(action), "prog": parser.prog}


def _of_project(folder: Path) -> dict[str, Any]:
    sys.path[0] = str(folder)
    os.environ["DJANGO_SETTINGS_MODULE"] = f"{folder.name}.settings"
    import django  # noqa: PLC0415 - after the settings have a name
    from django.core.management import get_commands, load_command_class  # noqa: PLC0415

    from event_stream.terminal import TerminalCommand  # noqa: PLC0415

    django.setup()
    commands = {name: load_command_class(app, name) for name, app in get_commands().items()}
    return {
        name: described(command.create_parser("manage.py", name)) | {"ours": isinstance(command, TerminalCommand)}
        for name, command in sorted(commands.items())
    }


class _Parser(Exception):  # noqa: N818 - no error: it brings the parser out of a `main`
    pass


def _of_scripts() -> dict[str, Any]:
    return {name: _of_script(name) for name in sorted(_scripts())}


def _of_script(name: str) -> dict[str, Any]:
    script = described(_parser_of(name))
    # The one that hands options on to pytest says in its docstring what its own are for.
    page = "" if script["text"] else importlib.import_module(f"devstack.commands.{name}").__doc__
    return script | {"page": page, "ours": True}


def _scripts() -> Iterator[str]:
    for path in Path(__file__).with_name("commands").glob("[a-z]*.py"):
        yield path.stem


def _parser_of(script: str) -> argparse.ArgumentParser:
    def bring(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        raise _Parser(parser)

    argparse.ArgumentParser.parse_args = bring  # type: ignore[method-assign, assignment]
    argparse.ArgumentParser.parse_known_args = bring  # type: ignore[method-assign, assignment]
    try:
        runpy.run_module(f"devstack.commands.{script}", run_name="__main__")
    except _Parser as found:
        parser = found.args[0]
        assert isinstance(parser, argparse.ArgumentParser)
        return parser
    raise AssertionError(f"{script} has no parser")


if __name__ == "__main__":
    of = _of_project(Path(sys.argv[1])) if len(sys.argv) > 1 else _of_scripts()
    sys.stdout.write("\n" + json.dumps(of) + "\n")
