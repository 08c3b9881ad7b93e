"""Django's database connections in a process that serves no requests.

Around each request Django closes connections that are broken or too old and forgets the queries it has noted.
A worker has no requests: without this it would keep a dead connection for ever, and under DEBUG every query.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections, reset_queries


@contextmanager
def database_connections() -> Iterator[None]:
    """Around each piece of work, and each idle turn of a loop."""
    reset_queries()
    close_old_connections()
    try:
        yield
    finally:
        close_old_connections()
