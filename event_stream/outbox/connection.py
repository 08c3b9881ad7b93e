"""The relay's own connection to the database, outside of Django's: it is held for as long as the relay runs."""

from typing import Any

import psycopg
from django.db import connections

Connection = psycopg.Connection[tuple[Any, ...]]

# A machine that vanishes without a word must lose its locks: either side notices within about 10 s.
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}
_SESSION = """
    SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3;
    SET idle_session_timeout = 0; SET default_transaction_isolation = 'read committed'
"""


def connect(alias: str) -> Connection:
    """A new connection with the settings of DATABASES[alias], each statement a transaction of its own."""
    parameters: dict[str, Any] = {"connect_timeout": 5, **connections.create_connection(alias).get_connection_params()}
    # Django's own type adapters and cursors, which its queries need and these do not.
    for name in ("context", "cursor_factory"):
        parameters.pop(name)
    parameters |= {**_KEEPALIVE, "application_name": "outbox relay"}
    connection: Connection = psycopg.connect(**parameters, autocommit=True)
    try:
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection
