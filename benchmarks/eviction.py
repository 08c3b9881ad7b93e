"""From a change's answer to the evicted key, beside a bare kafka-python message; and changes a second.

Each change is a PUT over a connection that is kept open, of an organization that a lookup has just brought into the
cache. It counts from the moment the answer is there to the moment Valkey tells of the key (a keyspace notification).
In between lie the relay, Kafka with its acknowledgement, the worker and its script. In turn with it a bare producer
sends one record of the same size to a bare consumer in another process: from `send` to the return of `poll`.
"""

import http.client
import json
import multiprocessing
import queue
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import kafka
import psycopg
import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import http_load, measure, stage
from devstack import ServiceCluster, wait_until
from devstack.topics import Topic, create_topics

CLIENTS = 8
TOO_LATE_S = 30.0
RECORD = json.dumps({"organizationId": "x" * 36, "fill": "x" * 260}).encode()


class Evictions:
    """When each key was written, as the server tells; times on this machine's monotonic clock."""

    def __init__(self, url: str) -> None:
        self._events: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._redis = redis.Redis.from_url(url)
        self._redis.config_set("notify-keyspace-events", "K$")
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        pubsub.psubscribe(**{"__keyspace@*:*:o:*": self._note})
        self._listener = pubsub.run_in_thread(sleep_time=0.5, daemon=True)

    def wait(self, organization_id: str, since_s: float) -> float:
        """When the organization's entry was first written after that."""
        while True:
            channel, at_s = self._events.get(timeout=TOO_LATE_S)
            if channel.endswith(organization_id) and at_s > since_s:
                return at_s

    def close(self) -> None:
        self._listener.stop()
        self._listener.join()
        self._redis.config_set("notify-keyspace-events", "")
        self._redis.close()

    def _note(self, message: dict[str, Any]) -> None:
        self._events.put((message["channel"].decode(), time.perf_counter()))


class Client:
    """One connection that is kept open."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stage.port_of(url), timeout=TOO_LATE_S)

    def ask(self, request: http_load.Request) -> float:
        """When the answer was there."""
        self._connection.request(
            request.method, request.path, request.body or None, {"Content-Type": "application/json"}
        )
        response = self._connection.getresponse()
        body = json.loads(response.read())
        at_s = time.perf_counter()
        if response.status != 200 or any(body[name] != value for name, value in request.expected.items()):
            raise SystemExit(f"{request.path} was answered with {response.status} {body}")
        return at_s


def consume(servers: list[str], topic: str, parent: Connection) -> None:
    """In a process of its own: tells when each record has come out of `poll`."""
    with closing(kafka.KafkaConsumer(bootstrap_servers=servers)) as consumer:
        consumer.assign([kafka.TopicPartition(topic, 0)])
        consumer.seek_to_end()
        consumer.position(kafka.TopicPartition(topic, 0))
        parent.send(0.0)
        while True:
            if consumer.poll(1000):
                parent.send(time.perf_counter())


@contextmanager
def bare(platform: ServiceCluster) -> Iterator[Any]:
    """A function that sends one record and returns what it took, in seconds."""
    topic = f"{platform.topic}.bare"
    create_topics(platform.servers.kafka_bootstrap_servers, [Topic(topic, 1, 1, 1)])
    servers = platform.servers.kafka_bootstrap_servers.split(",")
    here, there = multiprocessing.Pipe()
    consumer = multiprocessing.get_context("spawn").Process(target=consume, args=(servers, topic, there), daemon=True)
    consumer.start()
    here.recv()
    producer = kafka.KafkaProducer(bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=0)

    def send() -> float:
        began_s = time.perf_counter()
        producer.send(topic, RECORD)
        polled_s: float = here.recv()
        return polled_s - began_s

    try:
        yield send
    finally:
        producer.close()
        consumer.terminate()
        consumer.join()


def row(name: str, took_s: Sequence[float]) -> dict[str, Any]:
    percentiles = {f"p{at} ms": measure.percentile(took_s, at) * 1000 for at in (50, 90, 99)}
    return {"": name, **percentiles, "most ms": max(took_s) * 1000, "of": len(took_s)}


def lags(
    platform: ServiceCluster, customers: Sequence[stage.Customer], changes: int
) -> tuple[list[float], list[float]]:
    """From answer to eviction, and a bare message, in seconds."""
    licensing, organization = Client(platform.licensing_urls[0]), Client(platform.organization_url)
    ours, others = [], []
    phones = {customer.organization_id: customer.lookup["contactPhone"] for customer in customers}
    with closing(Evictions(platform.licensing_settings["REDIS_URL"])) as evictions, bare(platform) as send:
        for number in range(changes):
            customer = customers[number % len(customers)]
            id, change = customer.organization_id, customer.change(number)
            look_up = http_load.Request("GET", customer.license_path, {**customer.lookup, "contactPhone": phones[id]})
            # The first fills the cache, whose own notification is long over when the second has been answered.
            licensing.ask(look_up)
            licensing.ask(look_up)
            began_s = time.perf_counter()
            answered_s = organization.ask(change)
            ours.append(evictions.wait(id, began_s) - answered_s)
            phones[id] = change.expected["contactPhone"]
            others.append(send())
    return ours, others


def main() -> None:
    options = measure.options(__doc__)
    customers, changes, seconds = (5, 25, 1.0) if options.quick else (20, 520, 10.0)
    where = measure.machine()
    with stage.running() as (platform, _):
        made = stage.customers(platform, customers)
        ours, others = lags(platform, made, changes)
        requests = [customer.change(number) for number in range(20) for customer in made]
        port = stage.port_of(platform.organization_url)
        load = http_load.run(port, requests, connections=CLIENTS, seconds=seconds)
        caught_up_s = drained(platform)
    p50, p99 = (measure.percentile(load.latencies_s, at) * 1000 for at in (50, 99))
    ratio = measure.percentile(ours, 50) / measure.percentile(others, 50)
    conclusions = {
        "PUT answered to evicted / bare message, p50": f"{ratio:.2f}",
        f"updates/s with {CLIENTS} clients": f"{load.per_s:.0f}, errors {load.errors}",
        "an update then took": f"p50 {p50:.1f} ms, p99 {p99:.1f} ms",
        "all of them published": f"{caught_up_s:.2f} s after the last",
    }
    measure.show(options, where, [row("PUT answered to evicted", ours), row("bare message", others)], conclusions)


def drained(platform: ServiceCluster) -> float:
    """How long it takes from now until nothing is left in the outbox, in seconds."""
    began_s = time.perf_counter()
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        unsent = "SELECT FROM event_stream_outbox WHERE published_at IS NULL LIMIT 1"
        if not wait_until(lambda: connection.execute(unsent).fetchone() is None, within_s=TOO_LATE_S):
            raise SystemExit("the relay does not keep up")
    return time.perf_counter() - began_s


if __name__ == "__main__":
    main()
