"""PostgreSQL's own client programs, as an operator runs them."""

import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from devstack.wheels import postgres_program


def dump_data(database_url: str, *tables: str) -> str:
    """Return what `pg_dump --data-only` writes of these tables of the schema `public`."""
    return _run("pg_dump", database_url, "--data-only", *(f"--table=public.{table}" for table in tables))


def restore(database_url: str, dump: str, folder: Path) -> None:
    """Do what `psql < dump` does: each statement is a transaction of its own."""
    file = folder / "dump.sql"
    file.write_text(dump)
    _run("psql", database_url, "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", f"--file={file}")


def dump_database(database_url: str, file: Path) -> None:
    """Write what `pg_dump -Fc` writes of all of it."""
    _run("pg_dump", database_url, "--format=custom", f"--file={file}")


def restore_database(database_url: str, file: Path) -> None:
    """Do what `pg_restore` does with such a file and an empty database."""
    _run("pg_restore", database_url, "--exit-on-error", str(file))


def _run(program: str, database_url: str, *options: str) -> str:
    parts = urlsplit(database_url)
    address = urlunsplit(parts._replace(netloc=f"{parts.username}@{parts.hostname}:{parts.port}"))
    done = subprocess.run(
        [postgres_program(program), "--dbname", address, *options],
        env={"PGPASSWORD": parts.password or ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
