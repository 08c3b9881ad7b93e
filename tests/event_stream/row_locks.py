"""Which rows a write has locked when it waits for one that another session holds."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from django.db import connections
from psycopg.sql import SQL, Identifier

from event_stream.outbox.store import connect
from event_stream.testing.waiting import wait_until


def free_rows(write: Callable[[], Any], *, table: str, held: Any, key: str = "id") -> list[Any]:
    """Hold one row while `write` runs; return the keys of the rows that nobody else has locked by the time it waits."""
    names = {"table": Identifier(table), "key": Identifier(key)}
    with closing(connect("default")) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute(SQL("SELECT FROM {table} WHERE {key} = %s FOR UPDATE").format(**names), [held])
            writing = pool.submit(in_a_thread, write)
            until_one_waits()
            free = other.execute(SQL("SELECT {key} FROM {table} FOR UPDATE SKIP LOCKED").format(**names)).fetchall()
        writing.result(30)
    return sorted(found for (found,) in free)


def in_a_thread(work: Callable[[], Any]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def until_one_waits() -> None:
    """Asked in a session of its own: within a transaction the answer stays the same."""
    statement = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(connect("default")) as session:
        wait_until(lambda: session.execute(statement).rowcount == 1, "one waits")
