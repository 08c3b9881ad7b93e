"""Collects what the oracle looks at: from the database, from the topic, by ways of its own."""

import json
from collections.abc import Collection, Iterator
from contextlib import closing

import psycopg
from kafka import KafkaConsumer, TopicPartition

from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.conf import Binding
from event_stream.dead_letters import DeadLetterRecord
from event_stream.dead_letters.record import read
from event_stream.messaging.message import ConsumerRecord
from tests.faults.oracle import Commit, Logged

# Beside the product's own triggers, and after them: what was committed, whether the outbox has it or not. The clock is
# PostgreSQL's own, though a test may put another one in the place of it.
_WITNESS = """
    CREATE TABLE IF NOT EXISTS fault_commit (organization_id text, version bigint, at_s double precision);
    CREATE OR REPLACE FUNCTION fault_witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO public.fault_commit
        VALUES (NEW.id::text, NEW.version, extract(epoch FROM pg_catalog.clock_timestamp()));
        RETURN NULL;
    END $$;
    CREATE OR REPLACE TRIGGER zz_fault_witness AFTER {writes} ON {table}
    FOR EACH ROW EXECUTE FUNCTION fault_witness();
"""


def install_witness(database_url: str, table: str, writes: str) -> None:
    """From now on each version of a row of `table` (id, version) that such a write commits is written down."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(_WITNESS.format(table=table, writes=writes))


def commits(database_url: str, ids: Collection[str]) -> list[Commit]:
    with psycopg.connect(database_url) as connection:
        statement = "SELECT organization_id, version, at_s FROM fault_commit WHERE organization_id = ANY(%s)"
        return [Commit(*row) for row in connection.execute(statement, [list(ids)])]


def owners(database_url: str, table: str, ids: Collection[str]) -> dict[str, int]:
    """The versions that their owner has now."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(f"SELECT id::text, version FROM {table} WHERE id::text = ANY(%s)", [list(ids)])
        return dict(rows)


def marks(database_url: str, ids: Collection[str]) -> list[Logged]:
    """What the outbox says of where its messages lie, once all of them are sent."""
    with psycopg.connect(database_url) as connection:
        statement = 'SELECT key, version, partition, "offset" FROM event_stream_outbox WHERE key = ANY(%s)'
        return [Logged(*row) for row in connection.execute(statement, [list(ids)])]


def is_drained(database_url: str) -> bool:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT FROM event_stream_outbox WHERE published_at IS NULL LIMIT 1").fetchone()
        return row is None


def log(bootstrap_servers: str, topic: str, ids: Collection[str]) -> list[Logged]:
    """The events of these organizations."""
    found, of = [], list(ids)  # a list: what poison has in the id's place may not be hashable
    for record in records(bootstrap_servers, topic):
        try:
            event = json.loads(record.value or b"{}")
        except ValueError:
            continue  # poison that a test has sent
        if isinstance(event, dict) and event.get("organizationId") in of and "version" in event:
            found.append(Logged(event["organizationId"], event["version"], record.partition, record.offset))
    return found


def ends(bootstrap_servers: str, topic: str) -> dict[int, int]:
    """The last offset of each partition; -1 where there is none."""
    with closing(KafkaConsumer(bootstrap_servers=bootstrap_servers.split(","), group_id=None)) as consumer:
        at = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        return {each.partition: int(offset) - 1 for each, offset in consumer.end_offsets(at).items()}


def letters(bootstrap_servers: str, topic: str, group: str) -> list[DeadLetterRecord]:
    """Each copy of what the group has parked."""
    found = (read(record) for record in records(bootstrap_servers, f"{topic}.{group}.dlq"))
    return [each for each in found if isinstance(each, DeadLetterRecord)]


def records(bootstrap_servers: str, topic: str) -> Iterator[ConsumerRecord]:
    """Everything in it now."""
    binder = KafkaBinder("kafka", {"bootstrap_servers": bootstrap_servers.split(",")})
    return binder.read(Binding("oracle", topic, "kafka", group="oracle"))
