"""A database that takes no writes, as a managed server's when its disk is full."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import connection, connections

from event_stream.outbox.store import connect


@contextmanager
def read_only() -> Iterator[None]:
    """Every session that begins meanwhile is read-only, and stays so for as long as it lives."""
    _set("on")
    connections.close_all()
    try:
        yield
    finally:
        _set("off")


def _set(value: str) -> None:
    with closing(connect("default")) as server:
        server.execute("SET default_transaction_read_only = off")
        server.execute(
            f'ALTER DATABASE "{connection.settings_dict["NAME"]}" SET default_transaction_read_only = {value}'
        )
