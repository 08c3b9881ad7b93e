"""What the tests of the outbox stand on: relays on threads, a platform that fails when told, conditions to await."""

import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connection
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding
from event_stream.errors import PublishError, UnsendableError
from event_stream.messaging.binder import Producer
from event_stream.messaging.channel import registry
from event_stream.messaging.message import ConsumerRecord, ProducerRecord, RecordMetadata
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.relay import Relay, RelayThread
from event_stream.outbox.settings import OutboxSettings
from tests.event_stream.demo.models import BINDING

TOPIC = "widgets"
HEARTBEAT = "tests.event_stream.demo.models.heartbeat"


def event_stream(type_: str, *, heartbeat: bool = False, topic: str = TOPIC, **binder: Any) -> dict[str, Any]:
    """The setting EVENT_STREAM, with one binding on one binder."""
    binding = {"destination": topic, "producer": {"heartbeat": HEARTBEAT} if heartbeat else {}}
    return {"binders": {"only": {"type": type_, **binder}}, "bindings": {BINDING: binding}}


FLAKY = "tests.event_stream.outbox_world.FlakyBinder"
DEADLY = "tests.event_stream.outbox_world.DeadlyKafkaBinder"


class FlakyBinder(MemoryBinder):
    """Refuses what a test wants refused: `verdict(key, how often this key was sent)` returns an error or None."""

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        super().__init__(name, properties)
        self.verdict: Callable[[str, int], PublishError | None] = lambda _key, _attempt: None
        self.held: list[Callable[[], None]] | None = None
        """Set to a list to hold the outcomes back; call its members to let them go."""
        self.attempts: dict[str, int] = defaultdict(int)

    def producer(self, binding: Binding) -> Producer:
        return _FlakyProducer(self)


class _FlakyProducer:
    def __init__(self, binder: FlakyBinder) -> None:
        self._binder = binder

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        binder, result = self._binder, Future[RecordMetadata]()
        key = (record.key or b"").decode()
        binder.attempts[key] += 1
        error = binder.verdict(key, binder.attempts[key])

        def settle() -> None:
            if error:
                result.set_exception(error)
            else:
                result.set_result(binder.append(record))

        if binder.held is None:
            settle()
        else:
            binder.held.append(settle)
        return result

    def partition_count(self, destination: str) -> int:
        return self._binder.partitions

    def close(self, timeout_s: float) -> None: ...


class DeadlyKafkaBinder(KafkaBinder):
    """Kafka, until DIE_AFTER messages are acknowledged: then the process is gone, before anything is marked."""

    def producer(self, binding: Binding) -> Producer:
        return _DeadlyProducer(super().producer(binding), int(os.environ["DIE_AFTER"]))


class _DeadlyProducer:
    def __init__(self, producer: Producer, remaining: int) -> None:
        self._producer = producer
        self._remaining = remaining

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        future = self._producer.send(record)
        future.add_done_callback(self._count)
        return future

    def _count(self, future: "Future[RecordMetadata]") -> None:
        future.result()
        self._remaining -= 1
        if self._remaining == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def partition_count(self, destination: str) -> int:
        return self._producer.partition_count(destination)

    def close(self, timeout_s: float) -> None:
        self._producer.close(timeout_s)


def binder() -> MemoryBinder:
    found = registry().binder("only")
    assert isinstance(found, MemoryBinder)
    return found


def flaky() -> FlakyBinder:
    found = binder()
    assert isinstance(found, FlakyBinder)
    return found


def refused(_key: str, _attempt: int) -> PublishError:
    return PublishError("no broker")


def unsendable(text: str) -> UnsendableError:
    return UnsendableError(text)


def settings(**changes: Any) -> OutboxSettings:
    """Quick to notice everything, as a test wants it."""
    return OutboxSettings(**{"election_interval_s": 0.05, "heartbeat_interval_s": 0.02, **changes})


@contextmanager
def relaying(*, until_drained: bool = False, **changes: Any) -> Iterator[Relay]:
    """A relay on a thread, which must not crash."""
    thread = RelayThread(Relay(settings(**changes), until_drained=until_drained))
    thread.start()
    try:
        yield thread.relay
    finally:
        thread.stop(10)
    assert not thread.is_alive()
    assert thread.error is None


def drain(**changes: Any) -> Relay:
    """Relay until nothing is left to send."""
    relay = Relay(settings(**changes), until_drained=True)
    relay.run()
    return relay


def until(condition: Callable[[], Any], within_s: float = 30.0) -> Any:
    """What `condition` returns once it is true."""
    deadline = time.monotonic() + within_s
    while not (result := condition()):
        assert time.monotonic() < deadline, f"not within {within_s} s"
        threading.Event().wait(0.005)
    return result


def published() -> int:
    return OutboxEntry.objects.filter(published_at__isnull=False).count()


def offsets(*keys: str) -> list[int]:
    """Where the messages of these keys lie, in the order they were written in; all must have been published."""
    found = OutboxEntry.objects.filter(key__in=keys).order_by("id").values_list("offset", flat=True)
    return [offset for offset in found if offset is not None or pytest.fail("not published")]


def versions_in_log(key: str) -> list[int]:
    """Of one key's messages, in the order of the log."""
    found = OutboxEntry.objects.filter(key=key).order_by("offset").values_list("version", flat=True)
    return [version for version in found if version is not None]


def sql(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def new_connection() -> "psycopg.Connection[tuple[Any, ...]]":
    """To the tests' database, beside Django's; autocommit."""
    database = connection.settings_dict
    wanted = {"dbname": "NAME", "user": "USER", "password": "PASSWORD", "host": "HOST", "port": "PORT"}
    parameters = {name: str(database[key]) for name, key in wanted.items() if database[key]}
    return psycopg.connect(**parameters, autocommit=True)  # type: ignore[arg-type]


def create_topic(bootstrap_servers: str, topic: str, partitions: int = 3) -> None:
    admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})
    finally:
        admin.close()


def read_topic(bootstrap_servers: str, topic: str) -> list[ConsumerRecord]:
    """Everything in it, by partition and in order."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap_servers, auto_offset_reset="earliest")
    try:
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions)
        found: dict[int, list[ConsumerRecord]] = {partition.partition: [] for partition in partitions}
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(timeout_ms=200).values():
                for at in records:
                    record = ConsumerRecord(
                        topic, at.partition, at.offset, at.key, at.value, tuple(at.headers), timestamp_ms=at.timestamp
                    )
                    found[at.partition].append(record)
        return [record for partition in sorted(found) for record in found[partition]]
    finally:
        consumer.close()
