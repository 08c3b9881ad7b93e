"""Keeps a cache in step with a log: Redis holds a prefix of it, and the watermark says which."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from event_stream.binder import LogBounds
from event_stream.cache.answers import Eviction, OutOfStep
from event_stream.cache.change import Change, Heartbeat
from event_stream.cache.digest import Digest, log_applied
from event_stream.cache.future import FutureHeartbeats
from event_stream.cache.keys import id_in
from event_stream.cache.protocol import FencedCache
from event_stream.errors import ConfigurationError, ConversionError, TooManyDeadLettersError
from event_stream.handler import Batch, Handled, Rewind
from event_stream.message import Record
from event_stream.rejection import LoggedRejections, Rejections

logger = logging.getLogger("event_stream.cache")

MAX_RECORDS = 500
"""In one script, beside which Redis does nothing else: a few milliseconds."""

Decode: TypeAlias = Callable[[Record], Change | Heartbeat | None]
"""What a record tells; None: nothing that matters here. Raises ConversionError for what can't be read."""


class CacheApplier:
    """A BatchHandler that evicts what has changed. It keeps nothing itself: any number may run, the watermark decides.

    A record that can't be read evicts by its key (fail-open: what it meant is asked anew) and goes to `rejections`.
    """

    def __init__(self, cache: FencedCache, decode: Decode, *, rejections: Rejections | None = None) -> None:
        self._cache = cache
        self._decode = decode
        self._rejections = rejections or LoggedRejections()
        self._future = FutureHeartbeats(cache.clock, cache.settings)

    def start(self, partition: int, log: LogBounds, committed: int | None) -> int:
        """After the watermark; where the log has no such place, at the group's commit or its start, in a new epoch."""
        if partition >= self._cache.keys.partitions:
            raise ConfigurationError(
                f"the cache's `partitions` is {self._cache.keys.partitions}, but the log has a partition {partition}: "
                "it should be the log's number of partitions"
            )
        return self._in_step(partition, log, committed)

    def handle(self, batch: Batch) -> Handled | Rewind:
        """The worker has made sure that where offsets are missing no record was deleted unread."""
        predecessor, routine = batch.predecessor, True
        for first in range(0, len(batch.records), MAX_RECORDS):
            records = batch.records[first : first + MAX_RECORDS]
            outcome = self._apply(batch.partition, predecessor, records)
            if isinstance(outcome, Rewind):
                return outcome
            predecessor, routine = records[-1].offset, routine and outcome.routine
        return Handled(routine)

    def idle(self, partition: int, position: int, log: LogBounds) -> int | None:
        """Redis may have been flushed, or have failed over to an older state, while nothing came."""
        wanted = self._in_step(partition, log, position)
        return None if wanted == position else wanted

    def stop(self, partition: int) -> None:
        """All that is kept for a partition is whether its last heartbeat was believed."""
        self._future.forget(partition)

    def _in_step(self, partition: int, log: LogBounds, otherwise: int | None) -> int:
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

    def _apply(self, partition: int, predecessor: int, records: Sequence[Record]) -> Handled | Rewind:
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
            return Rewind(outcome.offset + 1)
        if outcome.new_epoch:
            _log_new_epoch(partition, predecessor + 1, "no watermark")
        if evictions:
            log_applied(partition, records, digest, self._cache.clock.now_ms())
        return Handled(routine=not evictions and not unreadable)

    def _give_up(self, unreadable: Sequence[tuple[Record, ConversionError]], changes: Sequence[int]) -> None:
        """In the order of the log: a change between two unreadable records parts them."""
        waiting = deque(changes)
        for record, error in unreadable:
            if waiting and waiting[0] < record.offset:
                self._rejections.accepted()
                while waiting and waiting[0] < record.offset:
                    waiting.popleft()
            self._rejections.reject(record, error)
        if waiting:
            self._rejections.accepted()

    def _read(self, records: Sequence[Record]) -> tuple[Digest, list[tuple[Record, ConversionError]], list[int]]:
        """What they say, those that can't be read, and the offsets of the changes."""
        digest = Digest()
        changes: list[int] = []
        unreadable: list[tuple[Record, ConversionError]] = []
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
                changes.append(record.offset)
        return digest, unreadable, changes


def _log_new_epoch(partition: int, position: int, reason: str) -> None:
    logger.warning("watermark.new_epoch", extra={"partition": partition, "offset": position, "reason": reason})
