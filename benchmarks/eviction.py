"""From a change's answer to the evicted key, beside a bare kafka-python message.

Each change is a PUT over a connection that is kept open, of an organization that a lookup has just brought into the
cache. It counts from the moment the answer is there to the moment Valkey tells of the key (a keyspace notification).
In between lie the relay, Kafka with its acknowledgement, the worker and its script. In turn with it a bare producer
sends one record of the same size to a bare consumer in another process: from `send` to the return of `poll`.

Once with nothing else to do, and once at 100 changes (or messages) a second beside 500 lookups a second.
"""

import http.client
import json
import multiprocessing
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import kafka
import redis

from benchmarks import http_load
from benchmarks.errors import BenchmarkError
from benchmarks.figures import Figure, Ratio, Series, paired
from benchmarks.measure import interleaved, percentile
from benchmarks.stage import Customer, Stage, port_of
from devstack import ServiceCluster
from devstack.topics import Topic, create_topics

CHANGES_PER_S, LOOKUPS_PER_S = 100, 500
TOO_LATE_S = 30.0
RECORD = json.dumps({"organizationId": "x" * 36, "fill": "x" * 260}).encode()
JAVA = (
    "Measured elsewhere: the book's services, 1.1 ms at p50, 6 to 11 ms at p99; they send outside of the transaction."
)


class Evictions:
    """When each key was written, as the server tells; times on this machine's monotonic clock."""

    def __init__(self, url: str) -> None:
        self._events: queue.SimpleQueue[tuple[str, float]] = queue.SimpleQueue()
        self._redis = redis.Redis.from_url(url)
        self._redis.config_set("notify-keyspace-events", "K$")
        pubsub = self._redis.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        pubsub.psubscribe(**{"__keyspace@*:*:o:*": self._note})
        self._listener = pubsub.run_in_thread(sleep_time=0.5, daemon=True)

    def next(self) -> tuple[str, float]:
        """The id of the next organization whose entry was written, and when."""
        try:
            channel, at_s = self._events.get(timeout=TOO_LATE_S)
        except queue.Empty:
            raise BenchmarkError(f"no key was evicted for {TOO_LATE_S:.0f} s") from None
        return channel.rpartition(":")[2], at_s

    def wait(self, organization_id: str, since_s: float) -> float:
        """When the organization's entry was first written after that."""
        while True:
            id, at_s = self.next()
            if id == organization_id and at_s > since_s:
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
        self._connection = http.client.HTTPConnection("127.0.0.1", port_of(url), timeout=TOO_LATE_S)

    def ask(self, request: http_load.Request) -> float:
        """When the answer was there."""
        headers = {"Content-Type": "application/json", **request.headers}
        self._connection.request(request.method, request.path, request.body or None, headers)
        response = self._connection.getresponse()
        body = json.loads(response.read())
        at_s = time.perf_counter()
        if response.status != 200 or any(body[name] != value for name, value in request.expected.items()):
            raise BenchmarkError(f"{request.path} was answered with {response.status} {body}")
        return at_s

    def close(self) -> None:
        self._connection.close()


def consume(servers: list[str], topic: str, parent: Connection) -> None:
    """In a process of its own: tells when each record has come out of `poll`."""
    with closing(kafka.KafkaConsumer(bootstrap_servers=servers)) as consumer:
        consumer.assign([kafka.TopicPartition(topic, 0)])
        consumer.seek_to_end()
        consumer.position(kafka.TopicPartition(topic, 0))
        parent.send(0.0)
        while True:
            if polled := consumer.poll(1000):
                at_s = time.perf_counter()
                for _ in range(sum(map(len, polled.values()))):
                    parent.send(at_s)


class BareMessages:
    """A producer here and a consumer in another process, with kafka-python and nothing else."""

    def __init__(self, platform: ServiceCluster) -> None:
        self._topic = f"{platform.topic}.bare"
        create_topics(platform.servers.kafka_bootstrap_servers, [Topic(self._topic, 1, 1, 1)])
        servers = platform.servers.kafka_bootstrap_servers.split(",")
        self._polled, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._consumer = context.Process(target=consume, args=(servers, self._topic, there), daemon=True)
        self._consumer.start()
        self._polled.recv()
        self._producer = kafka.KafkaProducer(
            bootstrap_servers=servers, acks="all", enable_idempotence=True, linger_ms=0
        )

    def send(self) -> None:
        self._producer.send(self._topic, RECORD)

    def polled_s(self) -> float:
        """When the next record came out of `poll`."""
        if not self._polled.poll(TOO_LATE_S):
            raise BenchmarkError(f"a bare message did not arrive within {TOO_LATE_S:.0f} s")
        at_s: float = self._polled.recv()
        return at_s

    def close(self) -> None:
        self._producer.close()
        self._consumer.terminate()
        self._consumer.join()


def measure(stage: Stage) -> list[Figure]:
    platform = stage.services()
    with ExitStack() as stack:
        lab = _Lab(
            stage,
            stage.customers(stage.pick(10, 200)),
            licensing=stack.enter_context(closing(Client(platform.licensing_urls[0]))),
            organization=stack.enter_context(closing(Client(platform.organization_url))),
            evictions=stack.enter_context(closing(Evictions(platform.licensing_settings["REDIS_URL"]))),
            bare=stack.enter_context(closing(BareMessages(platform))),
        )
        stage.announce("one change at a time")
        alone = lab.one_by_one()
        stage.announce(f"{CHANGES_PER_S} changes/s beside {LOOKUPS_PER_S} lookups/s")
        beside = lab.at_a_rate()
    busy = f"PUT answered to evicted, at {CHANGES_PER_S} changes/s beside {LOOKUPS_PER_S} lookups/s"
    return [_figure("PUT answered to evicted", *alone, [JAVA]), _figure(busy, *beside, [])]


Lags = list[list[float]]
"""From answer to eviction, or of a bare message, in seconds, round by round."""


@dataclass(frozen=True, slots=True)
class _Lab:
    stage: Stage
    customers: Sequence[Customer]
    licensing: Client
    organization: Client
    evictions: Evictions
    bare: BareMessages

    def one_by_one(self) -> tuple[Lags, Lags]:
        phones = {customer.organization_id: customer.organization["contactPhone"] for customer in self.customers}
        ours: Lags = []
        others: Lags = []
        rounds, changes = self.stage.pick((2, 15), (5, 120), (5, 400))
        for number in range(rounds * changes):
            if number % changes == 0:
                ours.append([])
                others.append([])
            customer = self.customers[number % len(self.customers)]
            id, change = customer.organization_id, customer.change(number, self.stage.write_headers())
            # An earlier part may have changed it, so nothing is expected of its first lookup.
            seen = {"contactPhone": phones[id]} if number >= len(self.customers) else {}
            headers = self.stage.read_headers()
            look_up = http_load.Request("GET", customer.license_path, {"organizationId": id, **seen}, headers=headers)
            # The first fills the cache, whose own notification is long over when the second has been answered.
            self.licensing.ask(look_up)
            self.licensing.ask(look_up)
            began_s = time.perf_counter()
            answered_s = self.organization.ask(change)
            ours[-1].append(self.evictions.wait(id, began_s) - answered_s)
            phones[id] = change.expected["contactPhone"]
            sent_s = time.perf_counter()
            self.bare.send()
            others[-1].append(self.bare.polled_s() - sent_s)
        return ours, others

    def at_a_rate(self) -> tuple[Lags, Lags]:
        """The same at a steady rate, beside lookups, which fill the cache again."""
        rounds, seconds = self.stage.pick((2, 1), (5, 4), (9, 10))
        changes = round(CHANGES_PER_S * seconds)
        numbers = iter(range(1_000_000, 2_000_000))

        def ours() -> list[float]:
            answered: list[tuple[str, float, float]] = []
            for _ in _paced(changes):
                number = next(numbers)
                customer = self.customers[number % len(self.customers)]
                began_s = time.perf_counter()
                answered_s = self.organization.ask(customer.change(number, self.stage.write_headers()))
                answered.append((customer.organization_id, began_s, answered_s))
            return _lags(answered, self.evictions)

        def others() -> list[float]:
            sent_s = []
            for _ in _paced(changes):
                sent_s.append(time.perf_counter())
                self.bare.send()
            return [self.bare.polled_s() - each_s for each_s in sent_s]

        licensing, headers = port_of(self.stage.services().licensing_urls[0]), self.stage.read_headers()
        requests = [http_load.Request("GET", customer.license_path, headers=headers) for customer in self.customers]
        order = http_load.Order(licensing, 16, requests, seconds=3600, rate_per_s=LOOKUPS_PER_S)

        def beside_lookups(play: Callable[[], list[float]]) -> list[float]:
            with http_load.running(order):
                return play()

        contestants = {"ours": lambda: beside_lookups(ours), "bare": lambda: beside_lookups(others)}
        played = interleaved(contestants, rounds)
        return played["ours"], played["bare"]


def _paced(changes: int) -> Iterator[int]:
    began_s = time.perf_counter()
    for number in range(changes):
        early_s = began_s + number / CHANGES_PER_S - time.perf_counter()
        if early_s > 0:
            time.sleep(early_s)
        yield number


def _lags(answered: Sequence[tuple[str, float, float]], evictions: Evictions) -> list[float]:
    """From each answer to the first write of that organization's key after its request began, in seconds."""
    missing: dict[str, list[tuple[float, float]]] = {}
    for id, began_s, answered_s in answered:
        missing.setdefault(id, []).append((began_s, answered_s))
    lags: list[float] = []
    while missing:
        id, at_s = evictions.next()
        waiting = missing.get(id)
        if waiting and at_s > waiting[0][0]:
            _, answered_s = waiting.pop(0)
            lags.append(at_s - answered_s)
            if not waiting:
                del missing[id]
    return lags


def _figure(title: str, ours: Lags, bare: Lags, notes: list[str]) -> Figure:
    rows = []
    for name, rounds in (("PUT answered to evicted", ours), ("bare message", bare)):
        every = [lag for lags in rounds for lag in lags]
        columns = {f"p{at} ms": percentile(every, at) * 1000 for at in (90, 99)}
        medians_ms = [percentile(lags, 50) * 1000 for lags in rounds]
        rows.append(Series(name, medians_ms, {**columns, "most ms": max(every) * 1000, "of": float(len(every))}))
    ratios = [
        paired("ours / bare, p50", rows[0], rows[1], "<= 1.5"),
        Ratio("ours / bare, p99", [rows[0].columns["p99 ms"] / rows[1].columns["p99 ms"]], "<= 2"),
    ]
    return Figure(title, "ms at p50", rows, ratios, notes)
