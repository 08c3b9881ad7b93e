"""The commands that documents name: those of console blocks, and each call of a script or a management command."""

import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from devstack.environment import ROOT

TUTORIAL = ROOT / "docs" / "tutorial.md"
GUIDES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "howto").glob("*.md")),
    ROOT / "docs" / "runbook.md",
]
"""The pages whose console blocks a reader types, besides the tutorial."""
IN_THE_STACK = ("manage.py ", "curl ")
"""How the commands begin that tests/e2e/any_binder/test_documents.py runs, all of them."""
_BLOCK = re.compile(r"^ *```console\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"^ *```\w*\n(.*?)^ *```|`([^`\n]+)`", re.DOTALL | re.MULTILINE)
_CALL = re.compile(r"(?:\./manage_scripts/(?P<script>[a-z_]+)|manage\.py (?P<command>[a-z_]+))(?P<rest>[^\n|&;#)·]*)")
_WRITTEN = re.compile(r"^(?:Save as )?`[\w/]*management/commands/(\w+)\.py`", re.MULTILINE)
_OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")


@dataclass(frozen=True, slots=True)
class Call:
    """A script's, or a management command's if `is_management`. `options` are the long ones."""

    page: str
    name: str
    is_management: bool
    words: tuple[str, ...]
    options: tuple[str, ...]


def console_commands(page: Path) -> list[str]:
    """What follows each `$ ` of the page's console blocks, comments left out, continued lines joined."""
    text = "".join(_BLOCK.findall(page.read_text())).replace("\\\n", " ")
    lines = [re.sub(r"\s+# .*", "", line) for line in re.findall(r"^ *\$ (.*)", text, re.MULTILINE)]
    return [" ".join(line.split()) for line in lines]


def calls(page: Path, ours: Collection[str]) -> Iterator[Call]:
    """Each call in the page's code, blocks and words alike; also of a word that begins with a command of `ours`.

    Not of a command that the page itself shows how to write.
    """
    text = page.read_text()
    written = set(_WRITTEN.findall(text))
    for block, word in _CODE.findall(text):
        is_short = word.partition(" ")[0] in ours
        for found in _CALL.finditer(f"manage.py {word}" if is_short else (block or word).replace("\\\n", " ")):
            rest = found["rest"]
            name, is_management = found["script"] or found["command"], found["command"] is not None
            words = tuple(_words(rest))
            if name == "manage" and not is_management:
                # `./manage_scripts/manage org doctor --json`: what follows the project is a management command.
                words = tuple(word for word in words if not word.startswith("-"))
                if len(words) < 2 or words[0] not in {"org", "licensing", "journal"}:
                    continue
                name, is_management, words = words[1], True, words[2:]
            if name in written:
                continue
            place = str(page.relative_to(ROOT))
            yield Call(place, name, is_management, words, tuple(_OPTION.findall(rest)))


def _words(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError:
        return rest.split()
