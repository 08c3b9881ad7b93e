"""Each database answers, knows the time, and has the tables that this code wants."""

from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

from event_stream.doctor.clock import clock
from event_stream.doctor.finding import Finding, failed, ok, unknown


def check() -> Iterator[Finding]:
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


def _now_s(connection: BaseDatabaseWrapper) -> float:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp())::double precision")
        return float(cursor.fetchone()[0])
