"""Writes docs/commands.md from what each command says of itself: `python -m devstack.command_reference`."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from devstack import command_help
from devstack.commands.check import SETTINGS
from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION
from devstack.environment import ROOT
from devstack.servers import BINDERS

PAGE = ROOT / "docs" / "commands.md"
SCRIPTS = "scripts"
PROJECTS = {"the organization service": ORGANIZATION, "the licensing service": LICENSING, "the audit journal": JOURNAL}

Command = Mapping[str, Any]
"""As `command_help.described` makes it."""

_HEAD = """# Commands

Made from the commands by `.venv/bin/python -m devstack.command_reference`; a test compares. `--help` of each says
the same. The [runbook](runbook.md#something-is-wrong-or-might-be) has the exit codes that all of them share.

## Scripts

In the root of a checkout. Each makes `.venv` first, where it is missing.
"""
_MANAGE = """## manage.py

In the folder of a service, with its environment; at the stack of `./manage_scripts/run` as
`./manage_scripts/manage org`, `licensing` or `journal`, which have it. Django's own commands and options
(`--traceback`, `--verbosity`) are there too.
"""


def commands() -> dict[str, dict[str, Command]]:
    """The commands of each project, Django's included, and those of the scripts, by name."""
    script = str(command_help.__file__)
    argvs = {name: [sys.executable, script, str(project.folder)] for name, project in PROJECTS.items()}
    argvs[SCRIPTS] = [sys.executable, "-m", command_help.__name__]
    with ThreadPoolExecutor(len(argvs)) as pool:
        return dict(zip(argvs, pool.map(_described, argvs.values()), strict=True))


def _described(argv: list[str]) -> dict[str, Command]:
    environment = os.environ | SETTINGS
    done = subprocess.run(argv, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    described: dict[str, Command] = json.loads(done.stdout.splitlines()[-1])
    return described


def page(commands: Mapping[str, Mapping[str, Command]]) -> str:
    """The text of docs/commands.md."""
    lines = [_HEAD]
    for name, command in commands[SCRIPTS].items():
        lines += _section(f"./manage_scripts/{name}", command, "")
    lines.append(_MANAGE)
    ours = {name for project in PROJECTS for name, command in commands[project].items() if command["ours"]}
    for name in sorted(ours):
        for command, where in _places(name, commands):
            everywhere = len(where) == len(PROJECTS)
            lines += _section(f"manage.py {name}", command, "" if everywhere else f"Of {' and '.join(where)}.")
    return "\n".join(lines).rstrip() + "\n"


def _places(name: str, commands: Mapping[str, Mapping[str, Command]]) -> Iterator[tuple[Command, list[str]]]:
    """The commands of this name, each with the projects that have it."""
    waiting = [project for project in PROJECTS if commands[project].get(name, {"ours": False})["ours"]]
    while waiting:
        command = commands[waiting[0]][name]
        where = [project for project in waiting if commands[project][name] == command]
        yield command, where
        waiting = [project for project in waiting if project not in where]


def _section(call: str, command: Command, where: str) -> Iterator[str]:
    yield f"### `{call}`\n"
    if where:
        yield f"{where}\n"
    if command.get("page"):
        yield f"```text\n{command['page'].format(binders=', '.join(BINDERS)).strip()}\n```\n"
        return
    if command["text"]:
        # A script's description ends with how it is called, which is the heading already.
        text = re.sub(rf": {re.escape(call)}(?=\n| [A-Z]|$)", ".", command["text"])
        yield f"{_prose(text)}\n"
    yield from _table(command["arguments"])
    for name, subcommand in command["commands"].items():
        yield f"**`{call} {name}`**: {_prose(subcommand['text'])}\n"
        yield from _table(subcommand["arguments"])


def _table(arguments: list[tuple[list[str], str, str]]) -> Iterator[str]:
    if arguments:
        yield "| argument | |\n|---|---|"
        for names, value, text in arguments:
            call = " ".join([", ".join(names), value]).strip().replace("|", "\\|")
            yield f"| `{call}` | {_prose(text)} |"
        yield ""


_NAME = re.compile(
    r"(?<![\w/`-])(\./manage_scripts/\w+(?: [a-z]\w+)*(?: --\w+ [A-Z]+)?|--[a-z-]+|[A-Z]+_[A-Z_]+\*?(?:=\w+)?)(?![\w`])"
)


def _prose(text: str) -> str:
    """One paragraph; names of commands, options and variables in it as code."""
    parts = _NAME.split(" ".join(text.split()))
    for index, part in enumerate(parts):
        escaped = part.replace("|", "\\|")
        parts[index] = f"`{escaped}`" if index % 2 else escaped.replace("<", "&lt;").replace("*", "\\*")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(commands()))
