"""What every binder must do. A test class inherits from BinderConformance and has a fixture `harness` for its binder.

class TestMine(BinderConformance):
    @pytest.fixture
    def harness(self):
        return Harness(MyBinder("mine", {"url": URL}), new_binding, remake=partial(MyBinder, "mine", {"url": URL}))

It needs pytest, and no settings of Django. What a platform can't do its Capabilities say, and those tests are skipped;
what a harness does not offer is skipped too, with the reason.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest

from event_stream.conf import Binding, HeaderFormat
from event_stream.messaging.binder import Binder, Capabilities, Producer
from event_stream.messaging.cloudevents import attributes
from event_stream.messaging.cloudevents.converter import CloudEventsConverter
from event_stream.messaging.converters import decode, encode, register
from event_stream.messaging.message import Message, ProducerRecord, RecordMetadata
from event_stream.testing.conformance_faults import FaultConformance, OutageConformance
from event_stream.testing.reader import Reader

# That messages in each notation come through a binder as they were sent. A part of BinderConformance.

PAYLOAD: Any = {"name": "한국어 🚀 naïve", "empty": "", "none": None, "deep": [{"a": [1, 2.5, True]}]}
EVENT = attributes(id="e-1", source="/things", type="org.example.changed", subject="né")


class MessageConformance:
    """Headers and content types."""

    @pytest.mark.parametrize(
        ("header_format", "content_type"),
        [
            ("spring", "application/json"),
            ("plain", "application/json"),
            ("cloudevents", "application/json"),
            ("cloudevents", "application/cloudevents+json"),
        ],
    )
    def test_a_message_is_the_same_at_the_other_end(
        self, bench: "Bench", header_format: HeaderFormat, content_type: str
    ) -> None:
        register(CloudEventsConverter())
        headers = {"tmx-correlation-id": "c-1", "note": '"quoted" 한국', "blank": "", **EVENT}
        sent: Message[Any] = Message(PAYLOAD, "clé-🚀", headers)
        binding = replace(bench.binding, header_format=header_format, content_type=content_type)
        bench.producer.send(encode(binding, sent))
        [record] = bench.reader().read(1)
        found = decode(bench.binding, record)
        assert (found.payload, found.key) == (PAYLOAD, "clé-🚀")
        assert found.headers == {**headers, "contentType": "application/json"}


# Where a member stands in its partitions: what it commits, seeks and pauses. A part of BinderConformance.


class PositionConformance:
    """OffsetCommitter, going back, bounds, pauses."""

    def test_brings_again_what_was_not_committed(self, bench: "Bench") -> None:
        first = bench.reader()
        bench.send_all([b"0", b"1", b"2"], key="k")
        at = first.read(3)[0]
        first.consumer.commit({at.partition: at.offset + 1})
        first.close()
        assert [record.value for record in bench.reader().read(2)] == [b"1", b"2"]

    def test_commits_exactly_what_it_is_told(self, bench: "Bench") -> None:
        bench.send_all([b"0", b"1", b"2", b"3", b"4"], key="k")
        reader = bench.reader()
        partition, next_offset = reader.read(5)[0].partition, reader.records[2].offset + 1
        reader.consumer.commit({partition: next_offset})
        reader.close()
        again = bench.reader()
        assert [record.value for record in again.read(2)] == [b"3", b"4"]
        if bench.capabilities.retained:
            partitions = bench.producer.partition_count(bench.binding.destination)
            again.read_until(lambda it: len(it.owned) == partitions, "assigned")
            assert again.consumer.committed(partition) == next_offset
            others = again.owned - {partition}
            assert {again.consumer.committed(other) for other in others} == {None}

    def test_seeks_back_and_forth_in_what_is_not_committed(self, bench: "Bench") -> None:
        bench.send_all([b"0", b"1", b"2", b"3"], key="k")
        reader = bench.reader()
        at = reader.read(4)[0]
        second, last = reader.records[1].offset, reader.records[3].offset
        assert reader.consumer.position(at.partition) == last + 1
        reader.consumer.seek(at.partition, second)
        assert [record.value for record in reader.read(7)[4:]] == [b"1", b"2", b"3"]
        reader.consumer.seek(at.partition, at.offset)
        reader.consumer.seek(at.partition, last)
        assert [record.value for record in reader.read(8)[7:]] == [b"3"]

    def test_seeks_back_to_what_was_committed(self, bench: "Bench") -> None:
        if not bench.capabilities.seekable:
            pytest.skip("this binder can't seek")
        bench.send_all([b"0", b"1"], key="k")
        reader = bench.reader()
        first = reader.read(2)[0]
        reader.commit()
        reader.consumer.seek(first.partition, first.offset)
        assert [record.value for record in reader.read(4)[2:]] == [b"0", b"1"]

    def test_knows_the_bounds_of_the_log(self, bench: "Bench") -> None:
        if not bench.capabilities.retained:
            pytest.skip("this binder keeps no log")
        at = bench.send(b"v", key="k")
        reader = bench.reader()
        reader.read(1)
        bounds = reader.consumer.bounds(reader.owned)
        assert all(it.start == it.end for partition, it in bounds.items() if partition != at.partition)
        assert bounds[at.partition].start <= at.offset
        assert bounds[at.partition].end == at.offset + 1

    def test_leaves_a_paused_partition_alone(self, bench: "Bench") -> None:
        reader = bench.reader()
        partitions = bench.producer.partition_count(bench.binding.destination)
        reader.read_until(lambda it: len(it.owned) == partitions, "assigned")
        paused = bench.send(b"paused", key="k").partition
        reader.consumer.pause([paused])
        reader.consumer.seek(paused, 0)
        read_before = len([record for record in reader.records if record.partition == paused])
        others = [partition for partition in range(partitions) if partition != paused]
        for partition in others:
            bench.send(b"going on", partition=partition)
        reader.read_until(lambda it: {record.partition for record in it.records} >= set(others), "the others go on")
        assert len([record for record in reader.records if record.partition == paused]) == read_before
        reader.consumer.resume([paused])
        reader.read_until(lambda it: it.records[-1].partition == paused, "resumed")


ACK_TIMEOUT_S = 20.0
PARTITIONS = 3
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Harness:
    """A binder, and what makes a binding to a destination that nobody has used, of PARTITIONS partitions.

    The rest may be left out, and the tests that need it are skipped then. Where a dead member is noticed by its silence
    only, let the bindings say how long that takes: less than `patience_s`.
    """

    binder: Binder
    new_binding: Callable[[], Binding]
    remake: Callable[[], Binder] | None = None
    """Makes the binder in another process: what pickle takes. None where the platform ends with the process."""
    away: Callable[[], Binder] | None = None
    """Makes a binder for a place where no platform is."""
    cut: Callable[[], AbstractContextManager[object]] | None = None
    """Within it the platform is away from `binder`: cut off, or stopped."""
    patience_s: float = 30.0
    """How long to wait for what has to come."""


class Bench:
    """One destination with a producer, and readers that are closed after the test."""

    def __init__(self, harness: Harness, stack: ExitStack) -> None:
        self.binder = harness.binder
        self._patience_s = harness.patience_s
        self.binding = harness.new_binding()
        self.producer: Producer = self.binder.producer(self.binding)
        self._stack = stack
        stack.callback(self.producer.close, ACK_TIMEOUT_S)
        if not self.capabilities.retained:
            # A group gets what is sent once it is there.
            with closing(Reader(self.binder, self.binding, self._patience_s)) as first:
                first.read_until(lambda it: it.joined, "joined")

    @property
    def capabilities(self) -> Capabilities:
        return self.binder.capabilities

    def send(self, value: bytes, key: str | None = None, partition: int | None = None) -> RecordMetadata:
        record = ProducerRecord(
            self.binding.destination, None if key is None else key.encode(), value, partition=partition
        )
        return self.producer.send(record).result(ACK_TIMEOUT_S)

    def send_all(self, values: list[bytes], key: str) -> None:
        """Without waiting for one before the next."""
        records = [ProducerRecord(self.binding.destination, key.encode(), value) for value in values]
        for sent in [self.producer.send(record) for record in records]:
            sent.result(ACK_TIMEOUT_S)

    def reader(self, group: str | None = None) -> Reader:
        binding = replace(self.binding, group=group) if group else self.binding
        reader = self._stack.enter_context(closing(Reader(self.binder, binding, self._patience_s)))
        if group and not self.capabilities.retained:
            reader.read_until(lambda it: it.joined, "joined")
        return reader

    @contextmanager
    def producing(self, binding: Binding) -> Iterator[Producer]:
        """A producer for another binding."""
        producer = self.binder.producer(binding)
        try:
            yield producer
        finally:
            producer.close(ACK_TIMEOUT_S)

    def journal(self) -> Binding:
        """A destination of which everything is kept."""
        if self.capabilities.retained:
            return self.binding
        return replace(self.binding, destination=f"{self.binding.destination}.journal", group=None, journal=True)


class OnABench:
    """What each part of the suite needs."""

    @pytest.fixture
    def bench(self, harness: Harness) -> Iterator[Bench]:
        with ExitStack() as stack:
            yield Bench(harness, stack)


class BinderConformance(MessageConformance, PositionConformance, FaultConformance, OutageConformance, OnABench):
    """The behaviour that the rest of the package relies on."""

    def test_delivers_key_value_and_headers_as_they_were(self, bench: Bench) -> None:
        headers = (("a", b"1"), ("a", b"2"), ("naïve", "né".encode()), ("empty", b""))
        value = '{"name":"한국어 🚀"}'.encode()
        sent = bench.producer.send(ProducerRecord(bench.binding.destination, "clé".encode(), value, headers))
        [record] = bench.reader().read(1)
        assert (record.key, record.value, record.headers) == ("clé".encode(), value, headers)
        assert RecordMetadata(record.destination, record.partition, record.offset) == sent.result(ACK_TIMEOUT_S)
        assert record.timestamp_ms > 1_600_000_000_000

    def test_takes_a_message_without_a_key(self, bench: Bench) -> None:
        bench.send(b"keyless")
        [record] = bench.reader().read(1)
        assert record.key is None

    @pytest.mark.parametrize("size", [0, MEGABYTE])
    def test_takes_bodies_from_empty_to_a_megabyte(self, bench: Bench, size: int) -> None:
        bench.send(b"x" * size, key="k")
        [record] = bench.reader().read(1)
        assert record.value == b"x" * size

    def test_puts_a_message_into_the_partition_it_names(self, bench: Bench) -> None:
        assert bench.producer.partition_count(bench.binding.destination) == PARTITIONS
        receipts = [bench.send(b"here", partition=partition) for partition in range(PARTITIONS)]
        assert [receipt.partition for receipt in receipts] == list(range(PARTITIONS))

    def test_keeps_the_messages_of_a_key_in_order(self, bench: Bench) -> None:
        values = [str(number).encode() for number in range(300)]
        bench.send_all(values, key="one")
        bench.send_all(values, key="other")
        reader = bench.reader()

        def all_done(it: Reader) -> bool:
            # As it goes: a binder may give out only so many that are not committed.
            it.commit()
            return len(it.records) == 600

        reader.read_until(all_done, "600 records")
        records = reader.records
        for key in (b"one", b"other"):
            mine = [record for record in records if record.key == key]
            assert [record.value for record in mine] == values
            assert len({record.partition for record in mine}) == 1

    def test_returns_no_more_than_asked_for(self, bench: Bench) -> None:
        bench.send_all([b"v"] * 10, key="k")
        reader = bench.reader()
        reader.read_until(lambda it: it.joined, "joined")
        sizes: list[int] = []
        while sum(sizes) < 10:
            sizes.append(len(reader.turn(max_records=4)))
        assert max(sizes) <= 4

    def test_gives_each_group_one_copy(self, bench: Bench) -> None:
        groups = [bench.reader(group=f"group-{uuid.uuid4()}") for _ in range(2)]
        for number in range(20):
            bench.send(str(number).encode(), key=str(number))
        for reader in groups:
            assert sorted(int(record.value or b"") for record in reader.read(20)) == list(range(20))

    def test_reads_all_that_is_there_without_a_group(self, bench: Bench) -> None:
        journal = bench.journal()
        with bench.producing(journal) as producer:
            last = producer.partition_count(journal.destination) - 1
            assert list(bench.binder.read(journal)) == []
            for key, value, partition in (
                (b"k", b"1", None),
                (b"k", b"2", None),
                (b"k", b"3", None),
                (None, b"4", last),
            ):
                record = ProducerRecord(journal.destination, key, value, partition=partition)
                producer.send(record).result(ACK_TIMEOUT_S)
        for _ in range(2):
            found = list(bench.binder.read(journal))
            assert sorted(record.value or b"" for record in found) == [b"1", b"2", b"3", b"4"]
            assert [record.value for record in found if record.key == b"k"] == [b"1", b"2", b"3"]

    def test_carries_a_tombstone(self, bench: Bench) -> None:
        bench.producer.send(ProducerRecord(bench.binding.destination, b"k", None)).result(ACK_TIMEOUT_S)
        [record] = bench.reader().read(1)
        assert (record.key, record.value) == (b"k", None)

    def test_shares_the_partitions_of_a_group_among_its_members(self, bench: Bench) -> None:
        first = bench.reader()
        first.read_until(lambda it: len(it.owned) == PARTITIONS, "the only member has every partition")
        second = bench.reader()

        def shared(_: Reader) -> bool:
            first.turn()
            return bool(second.owned) and first.owned | second.owned == set(range(PARTITIONS))

        second.read_until(shared, "both members have partitions, and all are taken")
        assert not first.owned & second.owned
        assert "revoked" in {event for event, _ in first.events}

    def test_takes_over_from_a_member_that_has_closed(self, bench: Bench) -> None:
        first = bench.reader()
        bench.send(b"done", key="k")
        first.read(1)
        first.commit()
        first.close()
        assert first.owned == set()
        bench.send(b"next", key="k")
        assert [record.value for record in bench.reader().read(1)] == [b"next"]

    def test_closes_twice_and_before_it_was_used(self, bench: Bench) -> None:
        bench.reader().close()
        reader = bench.reader()
        reader.read_until(lambda it: it.joined, "joined")
        reader.close()
        reader.close()
