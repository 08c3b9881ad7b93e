"""How fast the relay brings a backlog to Kafka, beside bare kafka-python sending the same bytes.

`manage.py relay_outbox --until-drained` finds the rows in the outbox, as after an import or an outage of Kafka: it
reads, sends, waits for the acknowledgements, marks each row and logs it. Timed from its taking the lead to the last
mark. The other one, with the same settings, sends the records from a list in memory and waits for the last of them.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import kafka
import psycopg

from benchmarks import timed_command
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, Series, number, of_medians, paired
from benchmarks.measure import interleaved
from benchmarks.stage import Stage
from devstack import ServiceCluster
from devstack.django_commands import ORGANIZATION
from devstack.environment import service_environment
from devstack.topics import Topic, create_topics

_TOO_LONG_S = 600.0
# In the form of `organizations.events.PAYLOAD_SQL`: what the relay reads is what the service writes.
_FILL = """
    INSERT INTO event_stream_outbox (event_id, binding, key, payload, headers, version, correlation_id)
    SELECT event_id, 'outboundOrgChanges', id, jsonb_build_object(
        'type', 'organization.OrganizationChangeModel', 'action', 'UPDATED', 'organizationId', id,
        'correlationId', event_id, 'version', 1795000000000000 + n, 'eventId', event_id,
        'occurredAt', '2026-11-23T20:00:00.000000Z'
    ), '{}', 1795000000000000 + n, event_id
    FROM (
        SELECT n, gen_random_uuid() AS event_id, gen_random_uuid()::text AS id FROM generate_series(1, %s) AS n
    ) AS row
"""


@dataclass(frozen=True, slots=True)
class Drain:
    """CPU time is that of the process for one row, its start included."""

    rows_per_s: float
    cpu_us: float


def drain(platform: ServiceCluster, rows: int, topic: str) -> Drain:
    """Let the relay send so many rows to that topic."""
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET event_stream.forget_messages = 'on'")
        connection.execute("TRUNCATE event_stream_outbox")
        connection.execute(_FILL, [rows])
        done = timed_command.run(
            ORGANIZATION.command("relay_outbox", "--until-drained"),
            service_environment({**platform.organization_settings, "ORG_CHANGE_TOPIC": topic}),
            within_s=_TOO_LONG_S,
        )
        found = connection.execute("SELECT count(published_at), max(published_at) FROM event_stream_outbox").fetchone()
    if found is None or found[0] != rows:
        raise BenchmarkError(f"{found and found[0]} of {rows} rows were published")
    lines = (json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{"))
    led_at = next(datetime.fromisoformat(line["timestamp"]) for line in lines if line["event"] == "outbox.leader")
    return Drain(rows / (found[1] - led_at).total_seconds(), done.cpu_s / rows * 1e6)


def published(platform: ServiceCluster, topic: str) -> Iterator[Any]:
    """The messages on the topic without heartbeats, one partition after another."""
    servers = platform.servers.kafka_bootstrap_servers.split(",")
    with closing(kafka.KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")) as consumer:
        at = [kafka.TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic)]
        consumer.assign(at)
        ends = consumer.end_offsets(at)
        while any(consumer.position(each) < ends[each] for each in at):
            for records in consumer.poll(1000).values():
                yield from (record for record in records if record.key)


def send_bare(platform: ServiceCluster, topic: str, records: Sequence[Any]) -> float:
    """Send the key, value and headers of `records` with kafka-python and nothing else; return records a second."""
    with closing(
        kafka.KafkaProducer(
            bootstrap_servers=platform.servers.kafka_bootstrap_servers.split(","),
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
        )
    ) as producer:
        producer.partitions_for(topic)
        began_s = time.perf_counter()
        futures = [producer.send(topic, each.value, each.key, list(each.headers)) for each in records]
        producer.flush()
        took_s = time.perf_counter() - began_s
    if failed := [future for future in futures if not future.succeeded()]:
        raise BenchmarkError(f"{len(failed)} records were not sent: {failed[0].exception}")
    return len(records) / took_s


def measure(stage: Stage) -> list[Figure]:
    rounds, rows, backlog = stage.pick((2, 2_000, 10_000), (5, 100_000, 1_000_000), (9, 100_000, 1_000_000))
    platform = stage.bulk()
    topic, bare_topic = "relay", "relay.bare"
    topics = [Topic(name, 6, 1, 1) for name in (topic, bare_topic)]
    create_topics(platform.servers.kafka_bootstrap_servers, topics)
    stage.announce(f"{rows:,} rows to learn the bytes of their messages")
    drain(platform, rows, topic)
    records = list(published(platform, topic))
    drains: list[Drain] = []

    def ours() -> float:
        drains.append(drain(platform, rows, topic))
        return drains[-1].rows_per_s

    stage.announce(f"{rounds} backlogs of {rows:,} rows")
    played = interleaved({"ours": ours, "bare": lambda: send_bare(platform, bare_topic, records)}, rounds)
    stage.announce(f"a backlog of {backlog:,} rows")
    large = drain(platform, backlog, topic)
    rows_shown = [
        Series(f"relay, {rows:,} rows", played["ours"], {"CPU µs": sum(each.cpu_us for each in drains) / rounds}),
        Series("bare kafka-python", played["bare"]),
        Series(f"relay, {backlog:,} rows", [large.rows_per_s], {"CPU µs": large.cpu_us}),
    ]
    ratios = [
        paired("ours / bare kafka-python", rows_shown[0], rows_shown[1], ">= 0.6"),
        of_medians(f"{backlog:,} rows / {rows:,} rows", rows_shown[2], rows_shown[0], ">= 0.9"),
    ]
    return [Figure("Relay with a backlog", "rows/s", rows_shown, ratios, [_dead_rows(platform, backlog)])]


def _dead_rows(platform: ServiceCluster, rows: int) -> str:
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        found = connection.execute(
            """
            SELECT n_dead_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables
            WHERE relname = 'event_stream_outbox'
            """
        ).fetchone()
    dead, size = found or (0, 0)
    return f"After the {rows:,} rows: {number(float(dead))} dead rows, {size / 1e6:,.0f} MB with indexes."
