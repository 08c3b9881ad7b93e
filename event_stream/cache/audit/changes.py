"""Follows the log, and after each change reads the entry as a lookup does: 1, 5, 30 and 60 s later."""

import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Sequence

from event_stream.binder import LogBounds
from event_stream.cache.answers import State
from event_stream.cache.applier import Decode
from event_stream.cache.audit.tally import Tally
from event_stream.cache.change import Change
from event_stream.cache.protocol import FencedCache
from event_stream.errors import ConversionError, UnavailableError
from event_stream.handler import Batch, Handled

logger = logging.getLogger("event_stream.cache.audit")

AFTER_S = (1.0, 5.0, 30.0, 60.0)
MOST_WAITING = 200_000
"""Checks kept in memory; beyond that the log has to wait for them."""
_TARDINESS_MS = 500


class ChangeAudit:
    """A BatchHandler of a group of its own. `check_due` makes the checks whose time has come; call it from a thread.

    Stale is a hit with a version below the change's: what a lookup would have answered, and should not have. A change
    that was read too late for its early checks has only those that are still to come; a very old one has the last.
    A change without a version can't be checked, and is counted.
    """

    def __init__(self, cache: FencedCache, decode: Decode, after_s: Sequence[float] = AFTER_S) -> None:
        self._cache = cache
        self._decode = decode
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, Tally, str, int, int]] = []
        self.tallies = [Tally(each) for each in after_s]
        self.changes = 0
        self.unversioned = 0
        self.unreadable = 0

    @property
    def waiting(self) -> int:
        """Checks whose time has not come."""
        return len(self._waiting)

    def start(self, partition: int, log: LogBounds, committed: int | None) -> int | None:
        """Where the group stopped; the first time, at the log's start."""
        return None

    def handle(self, batch: Batch) -> Handled:
        if self.waiting > MOST_WAITING:
            raise UnavailableError(f"{self.waiting} checks are waiting for their time")
        for record in batch.records:
            try:
                told = self._decode(record)
            except ConversionError:
                # What the worker does with it is its own matter; it is said here that nothing is known of it.
                self.unreadable += 1
                continue
            if isinstance(told, Change):
                self._plan(told, told.occurred_at_ms or record.timestamp_ms)
        return Handled(routine=True)

    def idle(self, partition: int, position: int, log: LogBounds) -> int | None:
        return None

    def stop(self, partition: int) -> None:
        """What has been planned is checked all the same."""

    def check_due(self) -> int:
        """Make the checks whose time has come; returns how many. Raises UnavailableError, and loses none."""
        made = 0
        while (due := self._next()) is not None:
            _, _, tally, id, version, occurred_at_ms = due
            try:
                reading = self._cache.read(id)
            except UnavailableError:
                with self._lock:
                    heapq.heappush(self._waiting, due)
                raise
            stale_for_s = None
            if reading.state is State.HIT and reading.version < version:
                stale_for_s = (self._cache.clock.now_ms() - occurred_at_ms) / 1000
                logger.warning(
                    "audit.stale",
                    extra={"id": id, "version": reading.version, "newer": version, "stale_for_s": stale_for_s},
                )
            tally.add(stale_for_s=stale_for_s)
            made += 1
        return made

    def _plan(self, change: Change, occurred_at_ms: int) -> None:
        self.changes += 1
        if change.version is None:
            self.unversioned += 1
            return
        now_ms = self._cache.clock.now_ms()
        plan = [(occurred_at_ms + int(tally.after_s * 1000), tally) for tally in self.tallies]
        in_time = [(at_ms, tally) for at_ms, tally in plan if at_ms + _TARDINESS_MS >= now_ms] or plan[-1:]
        with self._lock:
            for at_ms, tally in in_time:
                check = (at_ms, next(self._order), tally, change.id, change.version, occurred_at_ms)
                heapq.heappush(self._waiting, check)

    def _next(self) -> tuple[int, int, Tally, str, int, int] | None:
        with self._lock:
            if self._waiting and self._waiting[0][0] <= self._cache.clock.now_ms():
                return heapq.heappop(self._waiting)
            return None


def check_until(audit: ChangeAudit, stop: Callable[[], bool], pause: Callable[[float], object]) -> None:
    """Make checks as they fall due, for as long as `stop` answers False; Redis may be away meanwhile."""
    while not stop():
        try:
            audit.check_due()
        except UnavailableError as error:
            logger.warning("audit.unavailable", extra={"reason": str(error)})
            pause(1.0)
        pause(0.05)
