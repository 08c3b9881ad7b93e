"""Databases on a PostgreSQL server that is known by a URL, whoever runs it."""

from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql


def database_url(server_url: str, name: str) -> str:
    """The URL of the database `name` on the server of `server_url`, its options kept."""
    return urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))


def create_database(server_url: str, name: str) -> bool:
    """Create `name` unless it is there; returns whether it was created. `server_url` names any existing database."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            return False
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return True


def answers(server_url: str) -> bool:
    """Whether a client can connect and run a statement."""
    try:
        with psycopg.connect(server_url, connect_timeout=2) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
