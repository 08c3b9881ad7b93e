"""Batch handlers that invalidate a cache: `LogInvalidator` for a replayable log, `QueueInvalidator` for queues."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from event_stream import signals
from event_stream.consumer.error_handler import LoggingErrorHandler, RecordErrorHandler
from event_stream.consumer.handler import Batch, Handled, SeekTo
from event_stream.errors import ConfigurationError, ConversionError, TooManyDeadLettersError
from event_stream.fenced_cache.cache import Eviction, FencedCache, OtherSettings, OutOfStep
from event_stream.fenced_cache.contention import ContentionMonitor
from event_stream.fenced_cache.entry import Change, Heartbeat
from event_stream.fenced_cache.freshness import ClockSkewGuard
from event_stream.fenced_cache.keys import id_in
from event_stream.fenced_cache.shared_settings import RENEW_EVERY_S
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord

logger = logging.getLogger("event_stream.fenced_cache")

MAX_RECORDS = 500
"""The most records for one script. Redis runs nothing else meanwhile: a few milliseconds."""

_OTHER_SETTINGS = "a worker with other settings began the last one"

Decode: TypeAlias = Callable[[ConsumerRecord], Change | Heartbeat | None]
"""Returns what a record means, or None for nothing relevant. Raises ConversionError if it can't be decoded."""

IdOfKey: TypeAlias = Callable[[bytes | None], str | None]
"""Returns the id that the key of an undecodable record names, as `decode` would spell it, or None."""


@dataclass(slots=True)
class BatchSummary:
    """The changes of a batch: many changes of one id need only one eviction."""

    changes: list[Change] = field(default_factory=list)
    """In the order of the log."""
    newest: dict[str, int] = field(default_factory=dict)
    """The greatest version of each id."""
    unversioned: set[str] = field(default_factory=set)
    correlation_ids: dict[str, None] = field(default_factory=dict)
    """In the order of the log, without repetitions (a dict serves as an ordered set)."""
    occurred_at_ms: int | None = None
    """The time of the newest change."""
    as_of_ms: int = 0
    """The greatest time of a heartbeat; 0 for none."""

    def add(self, event: Change | Heartbeat | None) -> None:
        if isinstance(event, Heartbeat):
            self.as_of_ms = max(self.as_of_ms, event.as_of_ms)
        elif event is not None:
            self._add_change(event)

    def evictions(self) -> list[Eviction]:
        """Return one eviction per id; two if it had changes with and without a version, which evict differently."""
        versioned = [Eviction(id, version) for id, version in self.newest.items()]
        return versioned + [Eviction(id) for id in sorted(self.unversioned)]

    def _add_change(self, change: Change) -> None:
        self.changes.append(change)
        if change.version is None:
            self.unversioned.add(change.id)
        else:
            self.newest[change.id] = max(change.version, self.newest.get(change.id, 0))
        if change.correlation_id:
            self.correlation_ids[change.correlation_id] = None
        if change.occurred_at_ms is not None:
            self.occurred_at_ms = max(change.occurred_at_ms, self.occurred_at_ms or 0)


def tell_applied(partition: int, records: Sequence[ConsumerRecord], summary: BatchSummary, now_ms: int) -> None:
    """Log the evicted ids, their correlation ids, and the time since the newest change, and send the signal."""
    occurred_at_ms = summary.occurred_at_ms
    logger.info(
        "eviction.applied",
        extra={
            "partition": partition,
            "first_offset": records[0].offset,
            "last_offset": records[-1].offset,
            "ids": list(dict.fromkeys(eviction.id for eviction in summary.evictions())),
            "correlation_ids": list(summary.correlation_ids),
            "lag_ms": None if occurred_at_ms is None else now_ms - occurred_at_ms,
        },
    )
    signals.changes_applied.send_robust(None, partition=partition, changes=summary.changes, applied_at_ms=now_ms)


class SettingsClaim:
    """Keeps the record of this worker's settings. Raises ConfigurationError where workers with other ones are there."""

    def __init__(self, cache: FencedCache) -> None:
        self._cache = cache
        self._renew_at_s = 0.0

    def renew(self, *, at_once: bool = False) -> None:
        now_s = self._cache.clock.monotonic_s()
        if now_s < self._renew_at_s and not at_once:
            return
        others = self._cache.claim()
        if others is not None:
            raise ConfigurationError(
                f"a worker with other settings keeps the cache: {self._cache.shared.difference(others)}. Give all "
                "processes the same, or stop the others first"
            )
        self._renew_at_s = now_s + RENEW_EVERY_S


class LogInvalidator:
    """A BatchHandler that evicts changed entries and keeps the cache in step with a log.

    Redis holds a prefix of the log, and the watermark says which. The handler keeps no state of its own, so any number
    may run, all with the same settings: ConfigurationError ends those from which others have taken over. A record that
    can't be decoded evicts by its key (the next lookup asks the origin) and goes to `error_handler`.
    """

    def __init__(
        self,
        cache: FencedCache,
        decode: Decode,
        *,
        id_of_key: IdOfKey = id_in,
        error_handler: RecordErrorHandler | None = None,
    ) -> None:
        self._cache = cache
        self._decode = decode
        self._id_of_key = id_of_key
        self._error_handler = error_handler or LoggingErrorHandler()
        self._clock_skew_guard = ClockSkewGuard(cache)
        self._claim = SettingsClaim(cache)
        self._contention = ContentionMonitor(cache)

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int:
        """Start after the watermark; if the log lacks that offset, begin an epoch at the commit or at the start."""
        if partition >= self._cache.keys.partitions:
            raise ConfigurationError(
                f"the cache's `partitions` is {self._cache.keys.partitions}, but the log has a partition {partition}: "
                "it should be the log's number of partitions"
            )
        self._claim.renew()
        return self._in_step(partition, log, committed)

    def handle(self, batch: Batch) -> Handled | SeekTo:
        """Apply a batch. The worker has checked that no record was deleted unread where offsets are missing."""
        self._claim.renew()
        previous_offset, quiet, evictions = batch.previous_offset, True, 0
        for first in range(0, len(batch.records), MAX_RECORDS):
            records = batch.records[first : first + MAX_RECORDS]
            outcome = self._apply(batch.partition, previous_offset, records)
            if isinstance(outcome, SeekTo):
                return outcome
            previous_offset, quiet = records[-1].offset, quiet and outcome.quiet
            evictions += outcome.evictions or 0
        return Handled(quiet, evictions)

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        """Check the watermark: Redis may have been flushed, or have failed over to an older state."""
        self._claim.renew()
        expected = self._in_step(partition, log, position, is_ours=True)
        return None if expected == position else expected

    def stop(self, partition: int) -> None:
        """Forget what is kept of the partition: its clock skew, and who has moved its watermark."""
        self._clock_skew_guard.forget(partition)
        self._contention.forget(partition)

    def _in_step(self, partition: int, log: OffsetRange, otherwise: int | None, *, is_ours: bool = False) -> int:
        """Return the offset to read from, with the watermark just before it.

        `is_ours`: this worker has left the watermark just before `otherwise`.
        """
        while True:
            watermark = self._cache.watermark(partition)
            if is_ours and watermark is not None and self._cache.is_own(watermark):
                if watermark.offset + 1 == otherwise:
                    self._contention.in_step()
                else:
                    self._contention.moved(partition)
            if watermark is None:
                reason = "no watermark"
            elif not self._cache.is_own(watermark):
                reason = _OTHER_SETTINGS
            elif log.start <= watermark.offset + 1 <= log.end:
                return watermark.offset + 1
            else:
                # Records were deleted unread, or the log is another (unclean election, new topic).
                reason = f"the log is {log}, and {watermark.offset} was applied last"
            position = otherwise if otherwise is not None and log.start <= otherwise <= log.end else log.start
            if self._cache.begin_epoch(partition, position - 1, instead_of=watermark):
                _log_new_epoch(partition, position, reason)
                return position

    def _apply(self, partition: int, previous_offset: int, records: Sequence[ConsumerRecord]) -> Handled | SeekTo:
        summary, undecodable, changes = self._read(records)
        key_evictions = [Eviction(id) for record, _ in undecodable if (id := self._id_of_key(record.key))]
        evictions = summary.evictions()
        # Records without a key may be in another partition than their id, whose watermark is not this one's.
        own_evictions: list[Eviction] = []
        misrouted: list[Eviction] = []
        for eviction in evictions:
            is_own = self._cache.keys.partition_of(eviction.id) == partition
            (own_evictions if is_own else misrouted).append(eviction)
        self._cache.evict(key_evictions + misrouted)
        try:
            self._handle_errors(undecodable, changes)
        except TooManyDeadLettersError as stop:
            # Apply the records before the error, or a restarted worker would park the same dead letters again.
            if done := [record for record in records if record.offset < stop.offset]:
                self._apply(partition, previous_offset, done)
            raise
        outcome = self._cache.apply(partition, previous_offset, records[-1].offset, own_evictions, summary.as_of_ms)
        if isinstance(outcome, OtherSettings):
            return self._take_over(partition, previous_offset)
        if isinstance(outcome, OutOfStep):
            self._contention.moved(partition)
            return SeekTo(outcome.offset + 1)
        if outcome.new_epoch:
            _log_new_epoch(partition, previous_offset + 1, "no watermark")
        if evictions:
            tell_applied(partition, records, summary, self._cache.clock.now_ms())
        return Handled(not evictions and not undecodable, len(evictions) + len(key_evictions))

    def _take_over(self, partition: int, previous_offset: int) -> SeekTo:
        """Begin an epoch where this worker reads: the offset of the other epoch may be that of another log."""
        self._claim.renew(at_once=True)
        watermark = self._cache.watermark(partition)
        foreign = watermark is not None and not self._cache.is_own(watermark)
        if foreign and self._cache.begin_epoch(partition, previous_offset, instead_of=watermark):
            _log_new_epoch(partition, previous_offset + 1, _OTHER_SETTINGS)
        return SeekTo(previous_offset + 1)

    def _handle_errors(
        self, undecodable: Sequence[tuple[ConsumerRecord, ConversionError]], changes: Sequence[ConsumerRecord]
    ) -> None:
        """Report errors in the order of the log: a change between two undecodable records separates them."""
        waiting = deque(changes)
        for record, error in undecodable:
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
        """Return a summary, the undecodable records and the records with changes."""
        summary = BatchSummary()
        changes: list[ConsumerRecord] = []
        undecodable: list[tuple[ConsumerRecord, ConversionError]] = []
        for record in records:
            try:
                event = self._decode(record)
            except ConversionError as error:
                undecodable.append((record, error))
                continue
            if isinstance(event, Heartbeat) and self._clock_skew_guard.rejects(event, record):
                continue
            summary.add(event)
            if isinstance(event, Change):
                changes.append(record)
        return summary, undecodable, changes


def _log_new_epoch(partition: int, position: int, reason: str) -> None:
    logger.warning("watermark.new_epoch", extra={"partition": partition, "offset": position, "reason": reason})


class QueueInvalidator:
    """A BatchHandler that evicts changed entries before the batch is acknowledged. For binders that can't seek.

    This is the weak form of the protocol. A queue keeps nothing that was acknowledged, so Redis can't be a replayable
    prefix of it, and no watermark keeps entries fresh. Lease and tombstone remain: a fill that an eviction overtook is
    refused, and late or repeated messages are harmless. An entry is fresh for `max_staleness_s` after the origin was
    asked, and no longer; this also limits the harm of an eviction that is lost with Redis.

    A record that can't be decoded evicts by its key and goes to `error_handler`, as with LogInvalidator.
    """

    def __init__(
        self,
        cache: FencedCache,
        decode: Decode,
        *,
        id_of_key: IdOfKey = id_in,
        error_handler: RecordErrorHandler | None = None,
    ) -> None:
        self._cache = cache
        self._decode = decode
        self._id_of_key = id_of_key
        self._error_handler = error_handler or LoggingErrorHandler()
        self._claim = SettingsClaim(cache)

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> None:
        """Delete the watermark of a log that was read before: it must not keep later entries fresh."""
        self._claim.renew()
        if partition < self._cache.keys.partitions:
            self._cache.forget_watermark(partition)

    def handle(self, batch: Batch) -> Handled:
        self._claim.renew()
        summary = BatchSummary()
        key_evictions: list[Eviction] = []
        read: list[tuple[ConsumerRecord, ConversionError | None]] = []
        for record in batch.records:
            try:
                event = self._decode(record)
            except ConversionError as error:
                read.append((record, error))
                if (key_id := self._id_of_key(record.key)) is not None:
                    key_evictions.append(Eviction(key_id))
                continue
            summary.add(event)
            if isinstance(event, Change):
                read.append((record, None))
        evictions = summary.evictions()
        # Evict first: if the worker stops, unacknowledged messages are redelivered, and evicting twice is harmless.
        self._cache.evict(key_evictions + evictions)
        self._handle_errors(read)
        if evictions:
            tell_applied(batch.partition, batch.records, summary, self._cache.clock.now_ms())
        return Handled(not read, len(evictions) + len(key_evictions))

    def idle(self, partition: int, position: int, log: OffsetRange) -> None:
        """Renew the record of the settings: there is no watermark to check."""
        self._claim.renew()

    def stop(self, partition: int) -> None:
        """Do nothing: no state is kept for a partition."""

    def _handle_errors(self, read: Sequence[tuple[ConsumerRecord, ConversionError | None]]) -> None:
        for record, error in read:
            if error is None:
                self._error_handler.accepted(record)
            else:
                self._error_handler.reject(record, error)
