"""Load the sample data into both services: ./manage_scripts/seed

It may run again: existing rows stay unchanged. DATABASE_URL names the PostgreSQL server, as for `run`, with
the databases `organization` and `licensing`, migrated. The services' other settings come from the environment, too.
"""

import argparse
import os

from devstack.django_commands import LICENSING, ORGANIZATION, manage
from devstack.postgres import database_url


def main() -> int:
    description, _, epilog = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(prog="seed", description=description, epilog=epilog)
    parser.parse_args()
    server = os.environ.get("DATABASE_URL")
    if not server:
        parser.error(
            "DATABASE_URL is not set; it should be a URL such as postgresql://user:password@host:5432/postgres"
        )
    for project in (ORGANIZATION, LICENSING):
        print(manage(project, {"DATABASE_URL": database_url(server, project.database)}, ["load_sample_data"]), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
