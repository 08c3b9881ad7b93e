"""What an error of the database says about the server, by its SQLSTATE: one table for services, relay and workers."""

import enum
from collections.abc import Mapping

from django.db import InterfaceError, OperationalError


class DatabaseFault(enum.StrEnum):
    """A fault of the server or of this moment. The same statement may well succeed later, so each is worth a 503."""

    AWAY = "away"
    """Nobody answers on this connection, or not yet; a new connection may lead somewhere."""
    READ_ONLY = "read_only"
    """The server reads, and refuses every write, for all sessions or for this one."""
    EXHAUSTED = "exhausted"
    """The server has run out of disk, memory or connections."""
    BROKEN = "broken"
    """The server's system fails it: an error of a disk, or a file that is not there."""
    LOCK_TIMEOUT = "lock_timeout"
    """Another transaction holds the row for longer than this one waits."""
    STATEMENT_TIMEOUT = "statement_timeout"
    """The statement takes longer than it may, or somebody has cancelled it."""
    CONFLICT = "conflict"
    """The server has ended this transaction in favour of another one: run again, the whole transaction succeeds."""

    @property
    def is_outage(self) -> bool:
        """Whether other requests meet it too; the others are about two transactions."""
        return self in _OUTAGES


_OUTAGES = frozenset({DatabaseFault.AWAY, DatabaseFault.READ_ONLY, DatabaseFault.EXHAUSTED, DatabaseFault.BROKEN})

SQLSTATES: Mapping[str, DatabaseFault] = {
    # Connection exceptions. PgBouncer, too, has 08P01 (protocol_violation) for a server that it does not reach.
    "08": DatabaseFault.AWAY,
    # A setting of the session, of the database or of the server; or the server is a standby.
    "25006": DatabaseFault.READ_ONLY,
    # The server has ended the session, because its transaction was idle for too long, or open.
    "25P03": DatabaseFault.AWAY,
    "25P04": DatabaseFault.AWAY,
    "40001": DatabaseFault.CONFLICT,
    # The connection broke while the transaction was committed.
    "40003": DatabaseFault.AWAY,
    "40P01": DatabaseFault.CONFLICT,
    # Insufficient resources: disk_full, out_of_memory, too_many_connections, configuration_limit_exceeded.
    "53": DatabaseFault.EXHAUSTED,
    "55P03": DatabaseFault.LOCK_TIMEOUT,
    "57014": DatabaseFault.STATEMENT_TIMEOUT,
    # admin_shutdown, crash_shutdown, cannot_connect_now, database_dropped, idle_session_timeout.
    "57P": DatabaseFault.AWAY,
    # Errors outside of PostgreSQL: system_error, io_error, undefined_file, duplicate_file.
    "58": DatabaseFault.BROKEN,
}
"""By SQLSTATE, or by the beginning that a class has in common."""


def database_fault(error: BaseException | None) -> DatabaseFault | None:
    """Return the fault that an error of Django's or of psycopg's tells of; None for any other error."""
    if error is None:
        return None
    if sqlstate := _sqlstate(error):
        prefixes = (sqlstate[:length] for length in (5, 3, 2))
        return next((SQLSTATES[prefix] for prefix in prefixes if prefix in SQLSTATES), None)
    # libpq has no SQLSTATE for a server that it does not reach, nor for a connection that has broken.
    return DatabaseFault.AWAY if isinstance(error, OperationalError | InterfaceError) else None


# undefined_table, undefined_column, invalid_schema_name.
_UNMIGRATED = frozenset({"42P01", "42703", "3F000"})


def is_unmigrated(error: BaseException) -> bool:
    """Return whether an error says that the database has no such table or column, for want of `manage.py migrate`."""
    return _sqlstate(error) in _UNMIGRATED


def _sqlstate(error: BaseException) -> str | None:
    # Django's errors are caused by the driver's.
    sqlstate = getattr(error, "sqlstate", None) or getattr(error.__cause__, "sqlstate", None)
    return sqlstate if isinstance(sqlstate, str) else None
