"""Each database answers, knows the time, and has the tables that this code wants."""

import time
from collections.abc import Callable, Iterator

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from event_stream.doctor.examination import Finding, failed, ok, unknown, warning


def check_database() -> Iterator[Finding]:
    for alias in connections:
        yield from _database(connections[alias], "" if alias == DEFAULT_DB_ALIAS else f" {alias}")


def _database(connection: BaseDatabaseWrapper, name: str) -> Iterator[Finding]:
    subject = f"database{name}"
    wanted = connection.settings_dict
    place = f"{wanted['NAME']} at {wanted['HOST'] or 'this machine'}:{wanted['PORT'] or 'the usual port'}"
    try:
        connection.ensure_connection()
    except Error as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        yield failed(subject, f"{place} can't be reached: {reason}", "start PostgreSQL, or correct DATABASE_URL")
        yield unknown(f"clock of the database{name}", "the database can't be asked")
        yield unknown(f"migrations{name}", "the database can't be asked")
        return
    version = ".".join(map(str, connection.get_database_version()))
    yield ok(subject, f"{place} answers: {connection.display_name} {version}")
    if connection.vendor == "postgresql":
        yield _writes(f"writes to the database{name}", connection)
        yield clock(f"clock of the database{name}", lambda: _now_s(connection))
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        first = missing[0][0]
        yield failed(
            f"migrations{name}",
            f"{len(missing)} are not applied; the first is {first.app_label}.{first.name}",
            "manage.py migrate",
        )
    else:
        yield ok(f"migrations{name}", "all are applied")


def _writes(subject: str, connection: BaseDatabaseWrapper) -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')")
        is_standby, read_only = cursor.fetchone()
    refuses = "no write succeeds, nobody can log in, and no event is sent"
    if is_standby:
        return failed(subject, f"this is a standby: {refuses}", "let DATABASE_URL lead to the primary, or promote it")
    if read_only == "on":
        remedy = "free disk space, then set default_transaction_read_only to off: for the server, database and role"
        return failed(subject, f"it is read-only: {refuses}", remedy)
    return ok(subject, "are taken")


def _now_s(connection: BaseDatabaseWrapper) -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        return float(cursor.fetchone()[0])


# A server's clock beside this machine's.

TOLERATED_S = 10.0
_NOTED_SHARE = 0.1
_REMEDY = "let one time service (NTP) set the clocks of all machines"


def ahead_s(ask: Callable[[], float]) -> tuple[float, float]:
    """By how much the clock that `ask` reads is ahead of ours, and the error of that: half of how long asking took."""
    before = time.time()
    there = ask()
    after = time.time()
    return there - (before + after) / 2, (after - before) / 2


def clock(subject: str, ask: Callable[[], float], tolerated_s: float = TOLERATED_S) -> Finding:
    """`ask` returns seconds since the epoch. Apart by more than a tenth of what is tolerated is worth a warning."""
    ahead, error = ahead_s(ask)
    text = f"{abs(ahead):.3f} s {'ahead of' if ahead >= 0 else 'behind'} this machine's (± {error:.3f} s)"
    apart_s = abs(ahead) - error
    if apart_s > tolerated_s:
        return failed(subject, f"{text}; {tolerated_s:g} s are tolerated", _REMEDY)
    if apart_s > tolerated_s * _NOTED_SHARE:
        return warning(subject, text, _REMEDY)
    return ok(subject, text)
