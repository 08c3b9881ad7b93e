"""Commands of the Django projects (`manage.py …`), run to their end."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devstack import call_commands
from devstack.environment import ROOT, service_environment
from devstack.errors import StackError


@dataclass(frozen=True, slots=True)
class Project:
    """A Django project of this repository: its folder is called like its settings package."""

    name: str
    database: str
    parent: Path = ROOT

    @property
    def folder(self) -> Path:
        return self.parent / self.name

    def command(self, *arguments: str) -> list[str]:
        """The command line of `manage.py`, to be run in the root of the checkout."""
        return [sys.executable, str(self.folder / "manage.py"), *arguments]


ORGANIZATION = Project("org_project", "organization")
LICENSING = Project("licensing_project", "licensing")
JOURNAL = Project("audit_journal", "journal", ROOT / "examples")
"""The example of another consumer."""


def manage(project: Project, settings: Mapping[str, str], *commands: Sequence[str]) -> str:
    """Run commands (name and arguments each) one after another; their output, or a `StackError` with the end of it."""
    done = subprocess.run(
        [sys.executable, call_commands.__file__, str(project.folder), json.dumps(commands)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=service_environment(settings),
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        names = ", ".join(command[0] for command in commands)
        raise StackError(f"{project.name}: manage.py {names} failed:\n{tail}")
    return done.stdout
