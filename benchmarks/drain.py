"""How fast the relay brings a backlog to Kafka, beside bare kafka-python sending the same bytes.

`manage.py relay_outbox --until-drained` finds the rows in the outbox, as after an import or an outage of Kafka: it
reads, sends, waits for the acknowledgements, marks each row and logs it. Timed from its taking the lead to the last
mark. The other one, with the same settings, sends the records from a list in memory and waits for the last of them.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import kafka
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measure, stage
from devstack import ServiceCluster
from devstack.django_commands import ORGANIZATION
from devstack.environment import service_environment
from devstack.topics import Topic, create_topics

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


def relay_s(platform: ServiceCluster, rows: int) -> float:
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET event_stream.forget_messages = 'on'")
        connection.execute("TRUNCATE event_stream_outbox")
        connection.execute(_FILL, [rows])
        done = subprocess.run(
            ORGANIZATION.command("relay_outbox", "--until-drained"),
            env=service_environment(platform.organization_settings),
            check=True,
            stderr=subprocess.PIPE,
        )
        found = connection.execute("SELECT count(published_at), max(published_at) FROM event_stream_outbox").fetchone()
    if found is None or found[0] != rows:
        raise SystemExit(f"{found and found[0]} of {rows} rows were published")
    lines = (json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{"))
    led_at = next(datetime.fromisoformat(line["timestamp"]) for line in lines if line["event"] == "outbox.leader")
    took_s: float = (found[1] - led_at).total_seconds()
    return took_s


def published(platform: ServiceCluster) -> Iterator[Any]:
    """The messages of the relay without heartbeats, one partition after another."""
    servers = platform.servers.kafka_bootstrap_servers.split(",")
    with closing(kafka.KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest")) as consumer:
        at = [kafka.TopicPartition(platform.topic, each) for each in consumer.partitions_for_topic(platform.topic)]
        consumer.assign(at)
        ends = consumer.end_offsets(at)
        while any(consumer.position(each) < ends[each] for each in at):
            for records in consumer.poll(1000).values():
                yield from (record for record in records if record.key)


def bare_s(platform: ServiceCluster, topic: str, records: Sequence[Any]) -> float:
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
        raise SystemExit(f"{len(failed)} records were not sent: {failed[0].exception}")
    return took_s


def row(name: str, rates: Sequence[float]) -> dict[str, Any]:
    return {"": name, "rows/s": sorted(rates)[len(rates) // 2], "least": min(rates), "most": max(rates)}


def main() -> None:
    options = measure.options(__doc__)
    rounds, rows = (1, 2_000) if options.quick else (3, 50_000)
    where = measure.machine()
    with stage.prepared() as (platform, _):
        bare_topic = f"{platform.topic}.bare"
        create_topics(platform.servers.kafka_bootstrap_servers, [Topic(bare_topic, 6, 1, 1)])
        relay, bare = [], []
        for _ in range(rounds):
            relay.append(rows / relay_s(platform, rows))
            records = list(published(platform))[-rows:]
            bare.append(len(records) / bare_s(platform, bare_topic, records))
    conclusions = {"bare / relay": measure.spread(b / a for a, b in zip(relay, bare, strict=True))}
    measure.show(options, where, [row("relay", relay), row("bare kafka-python", bare)], conclusions)


if __name__ == "__main__":
    main()
