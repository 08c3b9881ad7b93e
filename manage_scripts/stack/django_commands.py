"""Commands of the two Django projects (`manage.py …`), run to their end."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from manage_scripts.stack.environment import service_environment
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.paths import ROOT


@dataclass(frozen=True, slots=True)
class Project:
    """A Django project of this repository: its folder is called like its settings package."""

    name: str
    database: str

    def command(self, *arguments: str) -> list[str]:
        """The command line of `manage.py`, to be run in the root of the checkout."""
        return [sys.executable, str(ROOT / self.name / "manage.py"), *arguments]


ORGANIZATION = Project("org_project", "organization")
LICENSING = Project("licensing_project", "licensing")


def manage(project: Project, settings: Mapping[str, str], *arguments: str) -> str:
    """Run `manage.py arguments`; its output, or a `StackError` with the end of it."""
    done = subprocess.run(
        project.command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=service_environment(settings),
    )
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StackError(f"{project.name}: manage.py {' '.join(arguments)} failed:\n{tail}")
    return done.stdout


def create_admin(project: Project, settings: Mapping[str, str]) -> None:
    """The superuser of DJANGO_SUPERUSER_USERNAME and _PASSWORD, unless there is one of that name."""
    try:
        manage(project, settings, "createsuperuser", "--noinput")
    except StackError as error:
        if "already taken" not in str(error):
            raise
