"""What a web process does about faults of its database: one line for each outage, and no wait without a bound.

`bound_waits` is for a process that answers requests; the views of errors call `report_fault`.
"""

import logging
import math
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from event_stream.database_connections import discard_connections
from event_stream.database_faults import DatabaseFault
from event_stream.outage_log import OutageLog

logger = logging.getLogger("service_kit")

_QUIET_S = 10.0
_BEGAN, _ENDED = "database.refuses", "database.serves"
# A new connection shows that these are over.
_outages = OutageLog(logger, began=_BEGAN, ended=_ENDED, level=logging.ERROR, cause_field="fault")
# Of these it shows nothing: they are over once nothing has failed for a while.
_shortages = OutageLog(logger, began=_BEGAN, ended=_ENDED, level=logging.ERROR, cause_field="fault", quiet_s=_QUIET_S)
_SHORTAGES = (DatabaseFault.EXHAUSTED, DatabaseFault.BROKEN)


def report_fault(fault: DatabaseFault, error: object) -> None:
    """Log the first failure of an outage, and drop this thread's connections once the request is over."""
    discard_connections()
    (_shortages if fault in _SHORTAGES else _outages).failed(error, fault)


def is_read_only(connection: BaseDatabaseWrapper) -> bool:
    """Return whether this session is read-only. Raises OperationalError where the server is away."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only')")
        read_only = bool(cursor.fetchone()[0] == "on")
    if not read_only:
        _outages.succeeded()
        _shortages.succeeded()
    return read_only


def _connected(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    if _outages.is_on(DatabaseFault.READ_ONLY) or any(_shortages.is_on(fault) for fault in _SHORTAGES):
        is_read_only(connection)
    else:
        _outages.succeeded(DatabaseFault.AWAY)


connection_created.connect(_connected, dispatch_uid="service_kit.database")


def bound_waits() -> None:
    """Let no statement of this process wait for a lock, or run, for longer than the settings say.

    DATABASE_LOCK_TIMEOUT_S and DATABASE_STATEMENT_TIMEOUT_S, from each new connection on. One transaction that somebody
    has forgotten would otherwise hold the thread of each request for its rows. Commands are not bounded. Behind a
    pooler nothing is set, because sessions are shared there: let the role have the settings (ALTER ROLE ... SET).
    """
    connection_created.connect(_set_timeouts, dispatch_uid="service_kit.database.timeouts")


def _set_timeouts(connection: BaseDatabaseWrapper, **_kwargs: Any) -> None:
    names = ("DATABASE_LOCK_TIMEOUT_S", "DATABASE_STATEMENT_TIMEOUT_S")
    lock_ms, statement_ms = (str(math.ceil(getattr(settings, name) * 1000)) for name in names)
    with connection.cursor() as cursor:
        cursor.execute(
            # Nothing where a pooler made the process id up: commands may get the same session later.
            """
            SELECT set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)
            WHERE pg_backend_pid() = %s
            """,
            [lock_ms, statement_ms, connection.connection.info.backend_pid],
        )
