"""PUT of an organization: with its event, without events, and as plain DRF writes it.

Ours runs with everything that belongs to it: the relay in the web process, Kafka, and the worker that evicts. Without
events it is the same service on a database whose triggers for events are off. The plain one
(benchmarks/plain_drf) is a ModelViewSet that asks for no token.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import psycopg

from benchmarks import before, load
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, paired
from benchmarks.http_load import Request
from benchmarks.load import Contestant
from benchmarks.lookup import plain_settings
from benchmarks.measure import interleaved
from benchmarks.stage import Customer, Stage, WebServer, port_of, start_all
from benchmarks.variants import series
from devstack.django_commands import ORGANIZATION, manage

JAVA = "Measured elsewhere: the book's Spring Boot service, 1,950 to 2,550 PUT/s, p50 6 ms (commit 7168224)."
OFF = "organization_off"

_COPY = """
    INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone)
    VALUES (%s, %s, %s, %s, %s)
"""
_PLAIN = """
    CREATE TABLE IF NOT EXISTS plain_organization (
        id uuid PRIMARY KEY, name varchar(200) NOT NULL, contact_name varchar(200) NOT NULL,
        contact_email varchar(254) NOT NULL, contact_phone varchar(50) NOT NULL
    );
    INSERT INTO plain_organization SELECT id, name, contact_name, contact_email, contact_phone
    FROM organizations_organization ON CONFLICT DO NOTHING
"""


def measure(stage: Stage) -> list[Figure]:
    rounds, seconds, warm_up_s = stage.pick(2, 5, 9), stage.pick(1, 4, 8), stage.pick(1, 3)
    platform = stage.services()
    customers = stage.customers(stage.pick(10, 200))
    requests = [customer.change(number, stage.write_headers()) for number in range(10) for customer in customers]
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(_PLAIN)
    plain_url = {"DATABASE_URL": platform.organization_settings["DATABASE_URL"]}
    plain = stage.gunicorn("plain DRF PUT", "benchmarks.plain_drf.wsgi", {**plain_settings(stage), **plain_url})
    off = without_events(stage, customers)
    notes = [
        f"{load.CONNECTIONS} kept-open connections over {len(customers)} organizations; load by {load.generator()}.",
        "Relay, Kafka and the worker share the two cores with ours; the others have them for themselves.",
        JAVA,
    ]
    beside = [stage.server("PostgreSQL")]
    with ExitStack() as stack:
        start_all(stack, plain, off)
        organization = port_of(platform.organization_url)
        contestants = [
            Contestant("ours, with its event", platform.organization, organization, requests, beside),
            Contestant("ours, events off", off.process, off.port, requests, beside),
            Contestant("plain DRF, no events", plain.process, plain.port, requests, beside),
        ]
        if earlier := _before(stage, stack, customers, requests, notes):
            contestants.append(earlier)
        for contestant in contestants:
            contestant.warm_up(warm_up_s)
        stage.announce("PUTs")
        played = interleaved({each.name: partial(each.play, seconds) for each in contestants}, rounds)
        _require_none_sent(stage)
    rows = [series(name, of) for name, of in played.items()]
    ratios = [
        paired("ours / events off", rows[0], rows[1], ">= 0.85"),
        paired("ours / plain DRF", rows[0], rows[2], ">= 1.2"),
    ]
    if len(rows) > 3:
        ratios.append(paired(f"ours / {before.COMMIT}", rows[0], rows[3], ">= 2.5"))
    return [Figure("Organization PUT", "PUT/s", rows, ratios, notes)]


def without_events(stage: Stage, customers: Sequence[Customer]) -> WebServer:
    """The service on a database of its own, which has these customers and the triggers for events off."""
    platform = stage.services()
    settings = {
        **platform.organization_settings,
        "DATABASE_URL": stage.servers.database_url(OFF),
        "OUTBOX_EMBEDDED": "false",
    }
    stage.servers.create_database(OFF)
    stage.announce("migrating a database without events")
    manage(ORGANIZATION, settings, ["migrate", "--noinput"])
    with psycopg.connect(settings["DATABASE_URL"], autocommit=True) as connection:
        triggers = connection.execute(
            "SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"
        ).fetchall()
        for name, table in triggers:
            if "version" not in name.lower():
                connection.execute(f'ALTER TABLE {table} DISABLE TRIGGER "{name}"')
        _insert(connection, customers)
    return stage.gunicorn("events off", "benchmarks.without_events", settings, ORGANIZATION.folder)


def _insert(connection: psycopg.Connection, customers: Sequence[Customer]) -> None:
    rows = [(each.organization_id, *each.organization.values()) for each in customers]
    with connection.cursor() as cursor:
        cursor.executemany(_COPY + "ON CONFLICT DO NOTHING", rows)


def _require_none_sent(stage: Stage) -> None:
    with psycopg.connect(stage.servers.database_url(OFF)) as connection:
        found = connection.execute("SELECT count(*) FROM event_stream_outbox").fetchone()
    if found != (0,):
        raise BenchmarkError(f"the service without events has written {found and found[0]}: fix benchmarks/put.py")


def _before(
    stage: Stage, stack: ExitStack, customers: Sequence[Customer], requests: Sequence[Request], notes: list[str]
) -> Contestant | None:
    if stage.pick(True, False):
        return None
    platform = stage.services()
    try:
        earlier = before.prepare(stage, {**platform.organization_settings, "ORG_CHANGE_TOPIC": "before"})
    except BenchmarkError as error:
        notes.append(f"Not measured beside {before.COMMIT}: {error}")
        return None
    with psycopg.connect(earlier.settings["DATABASE_URL"], autocommit=True) as connection:
        _insert(connection, customers)
    process, port = earlier.web(stage.folder)
    start_all(stack, WebServer(process, port))
    return Contestant(f"ours at {before.COMMIT}", process, port, requests, [stage.server("PostgreSQL")])
