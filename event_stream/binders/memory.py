"""A binder for tests: partitions, groups, seeking and committing in memory. {"type": "memory", "partitions": 6}.

`registry().binder(name)` returns the binder; its method `sent(destination)` returns what was sent. Each binder is a
platform of its own, and its records end with it.
"""

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError, UnsendableError
from event_stream.messaging.binder import Capabilities, Consumer, OffsetRange, Producer, RebalanceListener
from event_stream.messaging.message import ConsumerRecord, ProducerRecord, RecordMetadata
from event_stream.messaging.partitioner import partition_for


class MemoryBinder:
    """Every destination exists, with `partitions` partitions (6 by default)."""

    capabilities = Capabilities(
        seekable=True, retained=True, partitioned=True, ordered=True, batched=True, counted=True
    )

    def __init__(self, name: str, properties: Mapping[str, Any]) -> None:
        self.name = name
        for key in properties:
            if key != "partitions":
                raise ConfigurationError(f"[{key!r}] is not known here; known are 'partitions', 'type'")
        partitions = properties.get("partitions", 6)
        if isinstance(partitions, bool) or not isinstance(partitions, int) or partitions < 1:
            raise ConfigurationError(f"['partitions'] is {partitions!r}; it should be a whole number from 1")
        self.partitions = partitions
        self._changed = threading.Condition()
        self._logs: dict[str, list[list[ConsumerRecord]]] = {}
        self._groups: dict[tuple[str, str], _Group] = defaultdict(_Group)

    def check(self, binding: Binding) -> None:
        for side, properties in (("producer", binding.producer.properties), ("consumer", binding.consumer.properties)):
            for key in properties:
                raise ConfigurationError(f"[{side!r}]['properties'][{key!r}] is not known; the memory binder has none")

    def producer(self, binding: Binding) -> Producer:
        return _MemoryProducer(self)

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer:
        return _MemoryConsumer(self, binding.destination, binding.group or "", listener)

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        return iter(self.sent(binding.destination))

    def sent(self, destination: str) -> list[ConsumerRecord]:
        """Return all records of a destination, by partition and in order."""
        with self._changed:
            return [record for partition in self._log(destination) for record in partition]

    def append(self, record: ProducerRecord) -> RecordMetadata:
        """Append a record as it is. Raises UnsendableError for a partition that does not exist."""
        partition = record.partition
        if partition is None:
            # The same message without a key always goes to the same partition, so that a test can rely on it.
            partition = partition_for(record.key, self.partitions) if record.key else self._partition_by_value(record)
        if not 0 <= partition < self.partitions:
            raise UnsendableError(f"{record.destination} has no partition {partition}")
        with self._changed:
            log = self._log(record.destination)[partition]
            now_ms = time.time_ns() // 1_000_000
            at = RecordMetadata(record.destination, partition, len(log))
            log.append(
                ConsumerRecord(at.destination, partition, at.offset, record.key, record.value, record.headers, now_ms)
            )
            self._changed.notify_all()
        return at

    def _partition_by_value(self, record: ProducerRecord) -> int:
        return zlib.crc32(record.value or b"") % self.partitions

    def _log(self, destination: str) -> list[list[ConsumerRecord]]:
        return self._logs.setdefault(destination, [[] for _ in range(self.partitions)])


class _Group:
    def __init__(self) -> None:
        self.committed: dict[int, int] = {}
        self.members: list[_MemoryConsumer] = []

    def share(self, member: "_MemoryConsumer", partitions: int) -> set[int]:
        place = self.members.index(member)
        return set(range(place, partitions, len(self.members)))


class _MemoryProducer:
    def __init__(self, binder: MemoryBinder) -> None:
        self._binder = binder

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        result: Future[RecordMetadata] = Future()
        try:
            result.set_result(self._binder.append(record))
        except UnsendableError as error:
            result.set_exception(error)
        return result

    def partition_count(self, destination: str) -> int:
        return self._binder.partitions

    def close(self, timeout_s: float) -> None: ...


class _MemoryConsumer:
    """Takes over a partition only once its previous member has released it, in a poll or in close."""

    def __init__(self, binder: MemoryBinder, destination: str, group: str, listener: RebalanceListener) -> None:
        self._binder = binder
        self._changed = binder._changed
        self._log = binder._log(destination)
        self._group = binder._groups[(destination, group)]
        self._listener = listener
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._joined = False
        self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                changed = self._rebalance()
                records = self._take(max_records)
                remaining = deadline - time.monotonic()
                if records or changed or remaining <= 0:
                    return records
                self._changed.wait(remaining)

    def seek(self, partition: int, offset: int) -> None:
        self._require(partition)
        self._positions[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        self._paused -= set(partitions)

    def position(self, partition: int) -> int:
        self._require(partition)
        return self._positions[partition]

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        with self._changed:
            self._group.committed.update({p: offset for p, offset in next_offsets.items() if p in self._positions})

    def committed(self, partition: int) -> int | None:
        return self._group.committed.get(partition)

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
        with self._changed:
            return {partition: OffsetRange(0, len(self._log[partition])) for partition in partitions}

    def close(self) -> None:
        with self._changed:
            if self._closed:
                return
            self._closed = True
            if self._positions:
                self._listener.revoked(sorted(self._positions))
            self._positions.clear()
            if self in self._group.members:
                self._group.members.remove(self)
            self._changed.notify_all()

    def _require(self, partition: int) -> None:
        if partition not in self._positions:
            raise ValueError(f"partition {partition} is not assigned to this consumer")

    def _rebalance(self) -> bool:
        """Join the group, release partitions and take free ones. Return whether anything changed."""
        joining = not self._joined
        if joining:
            self._group.members.append(self)
            self._joined = True
        ours = self._group.share(self, len(self._log))
        gone = set(self._positions) - ours
        if gone:
            self._listener.revoked(sorted(gone))
            self._drop(gone)
        taken = {partition for member in self._group.members for partition in member._positions}
        new = sorted(ours - taken)
        for partition in new:
            self._positions[partition] = self._group.committed.get(partition, 0)
        if new or joining:
            self._listener.assigned(new)
        if new or gone or joining:
            self._changed.notify_all()
        return bool(new or gone or joining)

    def _drop(self, partitions: set[int]) -> None:
        for partition in partitions:
            del self._positions[partition]
        self._paused -= partitions

    def _take(self, max_records: int) -> dict[int, Sequence[ConsumerRecord]]:
        result: dict[int, Sequence[ConsumerRecord]] = {}
        for partition, position in self._positions.items():
            if partition not in self._paused and max_records > 0:
                records = self._log[partition][position : position + max_records]
                if records:
                    result[partition] = records
                    self._positions[partition] = position + len(records)
                    max_records -= len(records)
        return result
