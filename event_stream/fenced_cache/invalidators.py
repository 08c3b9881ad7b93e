"""Keeps a cache in step with a log: Redis holds a prefix of it, and the watermark says which."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from event_stream.consumer.error_handler import LoggingErrorHandler, RecordErrorHandler
from event_stream.consumer.handler import Batch, Handled, SeekTo
from event_stream.errors import ConfigurationError, ConversionError, TooManyDeadLettersError
from event_stream.fenced_cache.cache import Eviction, FencedCache, OutOfStep
from event_stream.fenced_cache.entry import Change, Heartbeat
from event_stream.fenced_cache.freshness import ClockSkewGuard
from event_stream.fenced_cache.keys import id_in
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord

# A batch, put together: many changes of one id need one eviction.

logger = logging.getLogger("event_stream.fenced_cache")


@dataclass(slots=True)
class BatchSummary:
    """What the records of a batch come to."""

    newest: dict[str, int] = field(default_factory=dict)
    """The greatest version of each id."""
    unversioned: set[str] = field(default_factory=set)
    correlation_ids: dict[str, None] = field(default_factory=dict)
    """In the order of the log, each once."""
    occurred_at_ms: int | None = None
    """The newest change's."""
    as_of_ms: int = 0
    """The greatest heartbeat's; 0 for none."""

    def add(self, told: Change | Heartbeat | None) -> None:
        if isinstance(told, Heartbeat):
            self.as_of_ms = max(self.as_of_ms, told.as_of_ms)
        elif told is not None:
            self._add_change(told)

    def evictions(self) -> list[Eviction]:
        """One for each id; a second one where it had changes with and without a version, which evict differently."""
        versioned = [Eviction(id, version) for id, version in self.newest.items()]
        return versioned + [Eviction(id) for id in sorted(self.unversioned)]

    def _add_change(self, change: Change) -> None:
        if change.version is None:
            self.unversioned.add(change.id)
        else:
            self.newest[change.id] = max(change.version, self.newest.get(change.id, 0))
        if change.correlation_id:
            self.correlation_ids[change.correlation_id] = None
        if change.occurred_at_ms is not None:
            self.occurred_at_ms = max(change.occurred_at_ms, self.occurred_at_ms or 0)


def log_applied(partition: int, records: Sequence[ConsumerRecord], digest: BatchSummary, now_ms: int) -> None:
    """What these records have evicted, with what it was done for and how long it took."""
    occurred_at_ms = digest.occurred_at_ms
    logger.info(
        "eviction.applied",
        extra={
            "partition": partition,
            "first_offset": records[0].offset,
            "last_offset": records[-1].offset,
            "ids": list(dict.fromkeys(each.id for each in digest.evictions())),
            "correlation_ids": list(digest.correlation_ids),
            "lag_ms": None if occurred_at_ms is None else now_ms - occurred_at_ms,
        },
    )


MAX_RECORDS = 500
"""In one script, beside which Redis does nothing else: a few milliseconds."""

Decode: TypeAlias = Callable[[ConsumerRecord], Change | Heartbeat | None]
"""What a record tells; None: nothing that matters here. Raises ConversionError for what can't be read."""


class LogInvalidator:
    """A BatchHandler that evicts what has changed. It keeps nothing itself: any number may run, the watermark decides.

    A record that can't be read evicts by its key (fail-open: what it meant is asked anew) and goes to `error_handler`.
    """

    def __init__(self, cache: FencedCache, decode: Decode, *, error_handler: RecordErrorHandler | None = None) -> None:
        self._cache = cache
        self._decode = decode
        self._error_handler = error_handler or LoggingErrorHandler()
        self._future = ClockSkewGuard(cache.clock, cache.settings)

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int:
        """After the watermark; where the log has no such place, at the group's commit or its start, in a new epoch."""
        if partition >= self._cache.keys.partitions:
            raise ConfigurationError(
                f"the cache's `partitions` is {self._cache.keys.partitions}, but the log has a partition {partition}: "
                "it should be the log's number of partitions"
            )
        return self._in_step(partition, log, committed)

    def handle(self, batch: Batch) -> Handled | SeekTo:
        """The worker has made sure that where offsets are missing no record was deleted unread."""
        predecessor, routine = batch.predecessor, True
        for first in range(0, len(batch.records), MAX_RECORDS):
            records = batch.records[first : first + MAX_RECORDS]
            outcome = self._apply(batch.partition, predecessor, records)
            if isinstance(outcome, SeekTo):
                return outcome
            predecessor, routine = records[-1].offset, routine and outcome.routine
        return Handled(routine)

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        """Redis may have been flushed, or have failed over to an older state, while nothing came."""
        wanted = self._in_step(partition, log, position)
        return None if wanted == position else wanted

    def stop(self, partition: int) -> None:
        """All that is kept for a partition is whether its last heartbeat was believed."""
        self._future.forget(partition)

    def _in_step(self, partition: int, log: OffsetRange, otherwise: int | None) -> int:
        """The offset to read from, with the watermark just before it."""
        while True:
            watermark = self._cache.watermark(partition)
            if watermark is not None and log.start <= watermark.offset + 1 <= log.end:
                return watermark.offset + 1
            # Forgotten; or records were deleted unread; or the log is another (unclean election, topic made anew).
            position = otherwise if otherwise is not None and log.start <= otherwise <= log.end else log.start
            reason = (
                "no watermark" if watermark is None else f"the log is {log}, and {watermark.offset} was applied last"
            )
            if self._cache.begin_epoch(partition, position - 1, instead_of=watermark):
                _log_new_epoch(partition, position, reason)
                return position

    def _apply(self, partition: int, predecessor: int, records: Sequence[ConsumerRecord]) -> Handled | SeekTo:
        digest, unreadable, changes = self._read(records)
        suspects = [Eviction(id) for record, _ in unreadable if (id := id_in(record.key))]
        evictions = digest.evictions()
        # A producer that gives no key puts its records anywhere: their ids' homes have watermarks of their own.
        strays = [each for each in evictions if self._cache.keys.home(each.id) != partition]
        self._cache.evict(suspects + strays)
        try:
            self._give_up(unreadable, changes)
        except TooManyDeadLettersError as stop:
            # What is parked is done, or whoever starts the worker again meets the same ones once more.
            if done := [record for record in records if record.offset < stop.offset]:
                self._apply(partition, predecessor, done)
            raise
        at_home = [each for each in evictions if self._cache.keys.home(each.id) == partition]
        outcome = self._cache.apply(partition, predecessor, records[-1].offset, at_home, digest.as_of_ms)
        if isinstance(outcome, OutOfStep):
            return SeekTo(outcome.offset + 1)
        if outcome.new_epoch:
            _log_new_epoch(partition, predecessor + 1, "no watermark")
        if evictions:
            log_applied(partition, records, digest, self._cache.clock.now_ms())
        return Handled(routine=not evictions and not unreadable)

    def _give_up(
        self, unreadable: Sequence[tuple[ConsumerRecord, ConversionError]], changes: Sequence[ConsumerRecord]
    ) -> None:
        """In the order of the log: a change between two unreadable records parts them."""
        waiting = deque(changes)
        for record, error in unreadable:
            if waiting and waiting[0].offset < record.offset:
                self._error_handler.accepted(waiting[0])
                while waiting and waiting[0].offset < record.offset:
                    waiting.popleft()
            self._error_handler.reject(record, error)
        if waiting:
            self._error_handler.accepted(waiting[-1])

    def _read(
        self, records: Sequence[ConsumerRecord]
    ) -> tuple[BatchSummary, list[tuple[ConsumerRecord, ConversionError]], list[ConsumerRecord]]:
        """What they say, those that can't be read, and those that are changes."""
        digest = BatchSummary()
        changes: list[ConsumerRecord] = []
        unreadable: list[tuple[ConsumerRecord, ConversionError]] = []
        for record in records:
            try:
                told = self._decode(record)
            except ConversionError as error:
                unreadable.append((record, error))
                continue
            if isinstance(told, Heartbeat) and self._future.holds(told, record):
                continue
            digest.add(told)
            if isinstance(told, Change):
                changes.append(record)
        return digest, unreadable, changes


def _log_new_epoch(partition: int, position: int, reason: str) -> None:
    logger.warning("watermark.new_epoch", extra={"partition": partition, "offset": position, "reason": reason})


# Keeps a cache clear of what has changed, told by queues: the weak form of the protocol.
#
# A queue keeps nothing that was acknowledged, so Redis can't be a replayable prefix of it, and there is no watermark to
# vouch for anything. Lease and floor stay: a fill that an eviction overtook is refused, and a message that comes
# late or
# twice is harmless. What proves an entry is the moment at which it was asked for, and nothing after that: it is a
# hit for `bound_s` and no longer, which is also all that an eviction lost with Redis can cost.


class QueueInvalidator:
    """A BatchHandler that evicts what has changed, before the batch is acknowledged. For binders that can't seek.

    A record that can't be read evicts by its key and goes to `error_handler`, as with LogInvalidator.
    """

    def __init__(self, cache: FencedCache, decode: Decode, *, error_handler: RecordErrorHandler | None = None) -> None:
        self._cache = cache
        self._decode = decode
        self._error_handler = error_handler or LoggingErrorHandler()

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> None:
        """Forgets the watermark of a log read before: it must never come to vouch for what is filled from now on."""
        if partition < self._cache.keys.partitions:
            self._cache.forget_watermark(partition)

    def handle(self, batch: Batch) -> Handled:
        digest = BatchSummary()
        suspects: list[Eviction] = []
        read: list[tuple[ConsumerRecord, ConversionError | None]] = []
        for record in batch.records:
            try:
                told = self._decode(record)
            except ConversionError as error:
                read.append((record, error))
                if (suspect := id_in(record.key)) is not None:
                    suspects.append(Eviction(suspect))
                continue
            digest.add(told)
            if isinstance(told, Change):
                read.append((record, None))
        evictions = digest.evictions()
        # First of all, also where the worker then stops: what it has not acknowledged comes again, to no harm.
        self._cache.evict(suspects + evictions)
        self._give_up(read)
        if evictions:
            log_applied(batch.partition, batch.records, digest, self._cache.clock.now_ms())
        return Handled(routine=not read)

    def idle(self, partition: int, position: int, log: OffsetRange) -> None:
        """There is nothing to be in step with."""

    def stop(self, partition: int) -> None:
        """Nothing is kept for a partition."""

    def _give_up(self, read: Sequence[tuple[ConsumerRecord, ConversionError | None]]) -> None:
        for record, error in read:
            if error is None:
                self._error_handler.accepted(record)
            else:
                self._error_handler.reject(record, error)
