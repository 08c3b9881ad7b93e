"""Call a management command at the stack of ./manage_scripts/run: ./manage_scripts/manage org doctor

It has the environment of the running service, so it needs no variable. `org` is the organization service, `licensing`
the licensing service, `journal` the audit journal of examples/, with a database beside theirs. Without a command, or
with `help`, it lists the commands.
"""

import argparse
import os
import runpy
import sys
from pathlib import Path

from devstack.django_commands import JOURNAL, LICENSING, ORGANIZATION
from devstack.postgres import create_database, database_url
from devstack.run_state import DEFAULT_DATA, running_environment

_PROJECTS = {"org": ORGANIZATION, "licensing": LICENSING, "journal": JOURNAL}
# Of the person's own terminal; the service has those of the shell in which `run` was started.
_OWN = ("COLUMNS", "DJANGO_COLORS", "FORCE_COLOR", "LANG", "LANGUAGE", "LINES", "NO_COLOR", "PWD", "TERM")
_OWN_PREFIXES = ("LC_", "PYTHON")


def main() -> int:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="manage", description=description, epilog=epilog)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", default=DEFAULT_DATA, help="of the run (default: .local/run)"
    )
    parser.add_argument("project", choices=_PROJECTS, help="whose command it is")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="...", help="the command, with its options")
    options = parser.parse_args()
    project = _PROJECTS[options.project]
    served = project if project is not JOURNAL else ORGANIZATION
    environment = running_environment(options.data.resolve(), served.database)
    if project is JOURNAL:
        server = environment["DATABASE_URL"]
        create_database(server, project.database)
        environment["DATABASE_URL"] = database_url(server, project.database)
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    os.environ.update(
        {name: value for name, value in environment.items() if name not in _OWN and not name.startswith(_OWN_PREFIXES)}
    )
    # In this process: another Python would answer Ctrl-C with a traceback while it starts.
    sys.argv = [str(project.folder / "manage.py"), *options.command]
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
