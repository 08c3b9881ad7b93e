"""Messages that nobody should ever send: none stops the worker, each evicts by its key and is parked exactly once."""

import contextlib
import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from django.conf import settings as django_settings
from kafka.admin import KafkaAdminClient

from event_stream import Binding, Channel, ProducerRecord
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import DeadLetterPublisher, DeadLetterRecord, dead_letter_binding
from event_stream.dead_letters.record import read
from event_stream.errors import ConversionError
from event_stream.fenced_cache import Change, FreshnessRequirement, LogInvalidator, State
from event_stream.messaging.partitioner import partition_for
from event_stream.testing.waiting import wait_until
from organization_lookup import lookup
from organization_lookup.handlers import OrganizationChangeDecoder, id_of_key
from tests.event_stream.cache_world import keep
from tests.licensing_project.fuzzed import COUNT, fuzzed
from tests.licensing_project.organization_service import NASA

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("organization_service")]
PARTITIONS = 6
LAST = "5a0c5a86-6d3c-4bd7-8e0e-6c1d4a2f9b11"


@dataclass(frozen=True)
class ServiceCluster:
    """A topic and its dead-letter topic, with a worker that has no commits yet."""

    binder: KafkaBinder
    binding: Binding
    channel: Channel

    def send(self, value: bytes | None, key: bytes | None, headers: tuple[tuple[str, bytes], ...] = ()) -> int:
        record = ProducerRecord(self.binding.destination, key, value, headers, None if key else 0)
        return self.channel.publish(record).result(10).offset

    def applier(self) -> LogInvalidator:
        parking = DeadLetterPublisher(Channel(dead_letter_binding(self.binding), self.binder), self.binding)
        return LogInvalidator(
            lookup.current().cache, OrganizationChangeDecoder(self.binding), id_of_key=id_of_key, error_handler=parking
        )

    def consume(self) -> None:
        """To where the topic ends now. Raises what stops the worker."""
        Worker(self.binding.name, self.applier(), channel=Channel(self.binding, self.binder)).run(
            lambda: False, StopCondition.CAUGHT_UP
        )

    def letters(self) -> list[DeadLetterRecord]:
        found = [read(record) for record in self.binder.read(dead_letter_binding(self.binding))]
        return [each for each in found if isinstance(each, DeadLetterRecord)]


@pytest.fixture
def platform(kafka_bootstrap_servers: str) -> Iterator[ServiceCluster]:
    binder = KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers.split(",")})
    topic = f"poison-{uuid.uuid4().hex}"
    bindings: Any = django_settings.EVENT_STREAM["bindings"]
    ours = bindings["inboundOrgChanges"]
    binding = Binding("in", topic, "kafka", group=f"group-of-{topic}")
    binding = replace(
        binding,
        consumer=replace(binding.consumer, dead_letters=True, dead_letter_limit=10_000),
        # Thousands are sent at once, and a busy machine may take its time with them.
        producer=replace(binding.producer, properties=ours["producer"]["properties"] | {"delivery_timeout_ms": 60_000}),
    )
    client = KafkaAdminClient(bootstrap_servers=kafka_bootstrap_servers.split(","))
    larger = {"max.message.bytes": "2097152"}
    wanted = {topic: {}, dead_letter_binding(binding).destination: larger}
    client.create_topics(
        {name: {"num_partitions": PARTITIONS, "replication_factor": 1, "configs": c} for name, c in wanted.items()}
    )
    client.close()
    channel = Channel(binding, binder)
    yield ServiceCluster(binder, binding, channel)
    channel.close(5)


def change(id: str, **more: Any) -> bytes:
    return json.dumps({"action": "UPDATED", "organizationId": id, "correlationId": "c", **more}).encode()


def cached(id: str) -> bool:
    return lookup.current().cache.read(id).state is State.HIT


REJECTED = {
    "random bytes": b"\x8f\x00\xff\x13",
    "cut off": b'{"action": "UPDATED", "organiz',
    "empty": b"",
    "null": None,
    "no object": b"[1, 2]",
    "a number too long": b'{"action": "UPDATED", "organizationId": ' + b"9" * 5_000 + b"}",
    "deeper than a stack": b"[" * 100_000,
    "action of a wrong type": b'{"action": {"a": 1}, "organizationId": "x"}',
    "id of a wrong type": b'{"action": "UPDATED", "organizationId": 12}',
    "huge": b"{" + b"x" * 900_000,
}


@pytest.mark.parametrize("value", REJECTED.values(), ids=REJECTED)
def test_what_can_not_be_read_evicts_is_parked_once_and_the_next_is_applied(
    platform: ServiceCluster, value: bytes | None
) -> None:
    platform.consume()
    lookup.current().find(NASA, FreshnessRequirement())
    assert cached(NASA)
    offset = platform.send(value, NASA.encode(), (("tmx-correlation-id", b"c"),))
    other = str(uuid.uuid4())
    platform.send(change(other, version=5), other.encode())
    platform.consume()
    assert not cached(NASA)
    assert lookup.current().cache.lease(other) is not None
    [letter] = platform.letters()
    assert (letter.key, letter.value, letter.omitted) == (NASA.encode(), value, False)
    assert letter.headers == (("tmx-correlation-id", b"c"),)
    assert (letter.origin.partition, letter.origin.offset) == (partition_for(NASA.encode(), PARTITIONS), offset)
    assert letter.error == "event_stream.errors.ConversionError"
    # Whoever takes over begins after it.
    platform.consume()
    assert len(platform.letters()) == 1


def test_a_header_of_any_length_costs_no_time(platform: ServiceCluster) -> None:
    """Its log line is redacted: with a pattern that takes the square of the length, this took 78 s."""
    content_type = ("contentType", b"a" * 250_000 + b"@")
    platform.send(change(NASA), NASA.encode(), (content_type,))
    platform.consume()
    [letter] = platform.letters()
    assert content_type in letter.headers
    assert len(letter.reason) < 500


@pytest.mark.parametrize("key", [b"", None, b"\xff\xfe", b"k" * 3_000], ids=["empty", "none", "no text", "long"])
def test_a_key_that_names_nobody_evicts_nobody_and_is_kept_as_it_was(
    platform: ServiceCluster, key: bytes | None
) -> None:
    platform.send(b"{", key)
    platform.consume()
    assert [(letter.key, letter.value) for letter in platform.letters()] == [(key, b"{")]


@pytest.mark.parametrize(
    "value",
    [change(NASA, version=2**60), change(NASA, version=-1), change(NASA, version="x"), change(NASA, new={"a": [1]})],
    ids=["future version", "negative version", "version of a wrong type", "keys of a later time"],
)
def test_what_is_odd_but_names_an_organization_evicts_and_is_not_parked(platform: ServiceCluster, value: bytes) -> None:
    platform.consume()
    lookup.current().find(NASA, FreshnessRequirement())
    platform.send(value, NASA.encode())
    platform.consume()
    assert not cached(NASA)
    assert platform.letters() == []


@pytest.mark.parametrize(
    "key",
    [NASA.upper(), f"{{{NASA}}}", f"urn:uuid:{NASA}", NASA.replace("-", "")],
    ids=["upper", "braces", "urn", "hex"],
)
def test_a_key_in_another_spelling_evicts_the_same_organization(platform: ServiceCluster, key: str) -> None:
    platform.consume()
    lookup.current().find(NASA, FreshnessRequirement())
    platform.send(b"{", key.encode())
    platform.consume()
    assert not cached(NASA)
    assert [letter.key for letter in platform.letters()] == [key.encode()]


def test_ids_that_are_no_uuids_are_passed_over_and_stop_no_worker(platform: ServiceCluster) -> None:
    strict = replace(platform.binding, consumer=replace(platform.binding.consumer, dead_letter_limit=5))
    platform = replace(platform, binding=strict)
    platform.consume()
    lookup.current().find(NASA, FreshnessRequirement())
    for number in range(10):
        platform.send(change(f"customer-{number}"), f"customer-{number}".encode())
    platform.send(change("customer"), NASA.encode())
    platform.consume()
    assert platform.letters() == []
    assert not cached(NASA)
    assert set(lookup.current().cache.ids()) <= {NASA}


def test_an_unknown_action_is_passed_over(platform: ServiceCluster) -> None:
    platform.send(b'{"action": "MERGED", "organizationId": "x"}', NASA.encode())
    platform.consume()
    assert platform.letters() == []


def test_fuzzed_messages_never_stop_a_worker(platform: ServiceCluster) -> None:
    """The oracle asks the decoder alone, without worker, Kafka or Redis, what it refuses."""
    sent = fuzzed()
    platform.consume()
    # Every organization that a key names is cached, so the test can tell afterwards which were evicted.
    named = {id for each in sent if (id := id_of_key(each.key))}
    for id in named:
        keep(lookup.current().cache, id, 1)
    stop = threading.Event()
    worker = Worker("in", platform.applier(), channel=Channel(platform.binding, platform.binder))
    errors: list[BaseException] = []

    def run() -> None:
        try:
            worker.run(stop.is_set)
        except BaseException as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(thread.join, 30)
        cleanup.callback(stop.set)
        topic = platform.binding.destination
        records = [ProducerRecord(topic, each.key, each.value, each.headers, None if each.key else 0) for each in sent]
        # The last ones are good, and are applied after all of them.
        records += [ProducerRecord(topic, None, change(LAST), partition=number) for number in range(PARTITIONS)]
        for receipt in [platform.channel.publish(record) for record in records]:
            receipt.result(60)
        ends = Counter(record.partition for record in platform.binder.read(platform.binding))
        cache = lookup.current().cache

        def applied(partition: int) -> int:
            mark = cache.watermark(partition)
            return 0 if mark is None else mark.offset + 1

        wait_until(
            lambda: bool(errors) or all(applied(number) == ends[number] for number in ends),
            "everything is applied",
            timeout_s=120,
        )
    assert errors == []
    assert sum(ends.values()) == len(records) == COUNT + PARTITIONS
    refused, changed = [], set()
    for record in platform.binder.read(platform.binding):
        try:
            told = OrganizationChangeDecoder(platform.binding)(record)
        except ConversionError:
            refused.append(record)
        else:
            changed |= {told.id} if isinstance(told, Change) else set()
    assert len(refused) > COUNT / 5
    parked = Counter((letter.origin.partition, letter.origin.offset) for letter in platform.letters())
    assert parked == Counter((record.partition, record.offset) for record in refused)
    evicted = {id for id in named if cache.read(id).state is State.MISS}
    assert evicted == named & (changed | {id_of_key(record.key) for record in refused})
