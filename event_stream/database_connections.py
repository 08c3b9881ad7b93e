"""When Django's database connections are closed: in a process that serves no requests, and after a fault of the server.

Around each request Django closes connections that are broken or too old and forgets the queries it has noted.
A worker has no requests: without this it would keep a dead connection for ever, and under DEBUG every query.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections, connections, reset_queries


@contextmanager
def database_connections() -> Iterator[None]:
    """Around each piece of work, and each idle turn of a loop."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()


def discard_connections() -> None:
    """Have this thread's connections closed at the end of the request or of the piece of work.

    For use after a fault of the server. Django keeps a connection that answers `SELECT 1`. That of a read-only server
    does, and its session may stay read-only for as long as it lives; a new one leads to what the server is by now.
    """
    for connection in connections.all(initialized_only=True):
        connection.close_at = 0.0
