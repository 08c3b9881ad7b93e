"""The checks that `manage.py doctor` makes in a service with an outbox."""

from collections.abc import Iterator
from datetime import timedelta

import pgtrigger
import psycopg
from django.db import Error, connections
from django.utils import timezone
from pgtrigger.core import INSTALLED, UNALLOWED

from event_stream import doctor
from event_stream.doctor import Finding, failed, ok, unknown, warning
from event_stream.errors import ConfigurationError
from event_stream.outbox.selectors import leading_backend, status
from event_stream.outbox.settings import outbox_settings
from event_stream.outbox.store import connect
from event_stream.outbox.triggers import FORGET_MESSAGES

_WAITING_NOTED = timedelta(seconds=10)


def check() -> Iterator[Finding]:
    try:
        yield _relay()
        yield from _backlog()
        yield from _triggers()
        yield from _switches()
    except (Error, psycopg.Error):
        yield unknown("outbox", "the database can't be asked, or has no outbox")


def _relay() -> Finding:
    try:
        connect(outbox_settings().database).close()
    except ConfigurationError as error:
        return failed("relay", f"none can lead: {error}", "set OUTBOX_DATABASE_URL, or another alias of DATABASES")
    backend_pid = leading_backend()
    if backend_pid is None:
        remedy = "start the web process, whose part it is, or manage.py relay_outbox where OUTBOX_EMBEDDED is false"
        return failed("relay", "none leads: nothing is published, and no heartbeat is sent", remedy)
    return ok("relay", f"one leads, on PostgreSQL's backend {backend_pid}")


def _backlog() -> Iterator[Finding]:
    current = status()
    waits = timezone.now() - current.oldest_unsent_at if current.oldest_unsent_at else timedelta()
    text = f"{current.unsent} unsent" + (f", the oldest for {waits.total_seconds():.1f} s" if current.unsent else "")
    if waits > _WAITING_NOTED:
        yield warning("outbox", text, "look at the broker and the relay's log (outbox.unreachable); nothing is lost")
    else:
        yield ok("outbox", text)
    if current.parked:
        remedy = "manage.py outbox_status says why; fix the cause, then send them again in the admin (Outbox entries)"
        yield warning("parked messages", f"{current.parked} can't be sent", remedy)
    else:
        yield ok("parked messages", "none")


def _triggers() -> Iterator[Finding]:
    wrong = []
    registered = pgtrigger.registered()
    for model, trigger in registered:
        state, enabled = trigger.get_installation_status(model)
        if state != UNALLOWED and (state != INSTALLED or not enabled):
            wrong.append(f"{trigger.name} of {model._meta.db_table} is {state.lower() if enabled else 'not enabled'}")
    if wrong:
        text = f"{'; '.join(wrong)}: a write that bypasses the ORM has no event"
        yield failed("triggers", text, "manage.py migrate, then manage.py pgtrigger install and pgtrigger enable")
    else:
        yield ok("triggers", f"all {len(registered)} are installed and enabled")


def _switches() -> Iterator[Finding]:
    """Report settings of a role or of the database with which triggers do nothing."""
    switches = ["session_replication_role=replica", f"{FORGET_MESSAGES}=on"]
    with connections[outbox_settings().database].cursor() as cursor:
        cursor.execute(
            """
            SELECT setting, COALESCE('the role ' || rolname, 'every role') FROM pg_db_role_setting
            CROSS JOIN unnest(setconfig) AS setting LEFT JOIN pg_roles ON pg_roles.oid = setrole
            WHERE setting = ANY(%s)
                AND setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
            """,
            [switches],
        )
        for setting, role in cursor.fetchall():
            text = f"{role} has {setting}: what it writes may have no event"
            yield failed("triggers", text, "reset the setting (ALTER ROLE or ALTER DATABASE ... RESET)")


doctor.register("outbox", check)
