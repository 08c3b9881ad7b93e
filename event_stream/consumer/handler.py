"""What a worker calls: a handler of batches, one partition at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition.

    `previous_offset` is the offset just before the position the reading began at. It is the last offset of the batch
    before, which need not be `records[0].offset - 1`: a log has gaps.
    """

    partition: int
    previous_offset: int
    records: Sequence[ConsumerRecord]


@dataclass(frozen=True, slots=True)
class Handled:
    """The whole batch is done; its offsets may be committed."""

    quiet: bool = False
    """Nothing in it that a person would look for (heartbeats, say): its log line is for debugging only."""
    evictions: int | None = field(default=None, compare=False)
    """How many keys it has evicted from a cache; None for a handler that keeps none."""


@dataclass(frozen=True, slots=True)
class SeekTo:
    """Nothing of the batch counts; read on from this offset."""

    offset: int


class BatchHandler(Protocol):
    """Handles the partitions a worker owns. Called from one thread. May be given a record again after a crash.

    UnavailableError from any method: the partition is paused and the same work is tried again later.
    """

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int | None:
        """The partition has been assigned: the offset to read from, or None for the group's own commit."""

    def handle(self, batch: Batch) -> Handled | SeekTo: ...

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        """Nothing came for a while and `position` is the next offset: an offset to go to, or None to stay."""

    def stop(self, partition: int) -> None:
        """The partition has been revoked or lost."""
