"""The script that makes the databases, on a real server."""

import os
import subprocess
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest

from devstack.postgres import Postgres
from devstack.wheels import postgres_program
from tests.deploy.compose_file import DEPLOY

SCRIPT = DEPLOY / "postgres/create-databases.sh"
PASSWORDS = {"organization": 'it\'s "one" $two', "licensing": "another"}


def test_each_service_gets_into_its_own_database_and_not_into_the_others(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres", durable=False) as server:
        url = urlsplit(server.url())
        environment = {
            "PATH": f"{postgres_program('psql').parent}:{os.environ['PATH']}",
            "PGHOST": str(url.hostname),
            "PGPORT": str(url.port),
            "PGPASSWORD": str(url.password),
            "POSTGRES_USER": "postgres",
            "ORGANIZATION_DB_PASSWORD": PASSWORDS["organization"],
            "LICENSING_DB_PASSWORD": PASSWORDS["licensing"],
        }
        subprocess.run([SCRIPT], env=environment, check=True)

        def connect(user: str, database: str) -> psycopg.Connection[tuple[object, ...]]:
            password = quote(PASSWORDS[user])
            return psycopg.connect(f"postgresql://{user}:{password}@127.0.0.1:{server.port}/{database}")

        for service in PASSWORDS:
            with connect(service, service) as connection:
                connection.execute("CREATE TABLE mine (id int)")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect("organization", "licensing")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect("licensing", "organization")


def test_without_a_password_it_makes_nothing() -> None:
    ended = subprocess.run([SCRIPT], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)

    assert ended.returncode != 0
    assert "ORGANIZATION_DB_PASSWORD" in ended.stderr
