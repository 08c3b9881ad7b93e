"""Measures the consistency of the cache on the running system, independently of the protocol.

`ChangeAudit` follows the log and reads each changed id again some time later; `sweep` compares every entry with the
origin.
"""

import enum
import heapq
import itertools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import exp, lgamma, log, log1p

from event_stream.consumer.handler import Batch, Handled
from event_stream.errors import ConversionError, UnavailableError
from event_stream.fenced_cache.cache import Eviction, FencedCache, Reading, State
from event_stream.fenced_cache.entry import Change
from event_stream.fenced_cache.invalidators import Decode
from event_stream.fenced_cache.read_through import Deadline, Fetch, Fetched, FetchFailed
from event_stream.messaging.binder import OffsetRange

logger = logging.getLogger("event_stream.fenced_cache.audit")

MAX_PARALLEL_FETCHES = 8
FETCH_TIMEOUT_S = 5.0

CONFIDENCE = 0.95

AFTER_S = (1.0, 5.0, 30.0, 60.0)
MAX_WAITING_CHECKS = 200_000
"""The checks kept in memory; with more, the log has to wait."""
_TARDINESS_MS = 500


class Verdict(enum.Enum):
    """The result of comparing an entry with the origin."""

    CURRENT = "current"
    UNVALIDATED = "behind, but not fresh: the next lookup asks the origin"
    CATCHING_UP = "behind, and changed within the maximum staleness"
    STALE = "behind, and still served after the maximum staleness"
    AHEAD = "newer than the origin, which may have been restored from a backup"
    UNKNOWN = "the origin gave no answer"


BROKEN = frozenset({Verdict.STALE, Verdict.AHEAD})
"""Verdicts that should never occur; a repair evicts these entries."""


@dataclass(frozen=True, slots=True)
class Finding:
    id: str
    verdict: Verdict
    cached_version: int
    origin_version: int | None


def sweep(
    cache: FencedCache, fetch: Fetch, ids: Iterable[str], *, wait: Callable[[float], object], repair: bool = False
) -> Iterator[Finding]:
    """Yield one finding for each id that has a value or a known absence. `wait` sleeps for a number of seconds.

    An entry that is behind is checked again after the maximum staleness, because its change may be on its way. With
    `repair`, broken entries are evicted. Raises UnavailableError.
    """
    behind: list[Finding] = []
    with ThreadPoolExecutor(MAX_PARALLEL_FETCHES) as pool:
        for finding in pool.map(lambda id: _look(cache, fetch, id), ids):
            if finding is None:
                continue
            if finding.verdict is Verdict.CATCHING_UP:
                behind.append(finding)
            else:
                yield _repaired(cache, finding, repair=repair)
    if behind:
        wait(cache.settings.max_staleness_s)
    for finding in behind:
        again = _look(cache, fetch, finding.id)
        if again is not None and again.verdict is Verdict.CATCHING_UP:
            same = again.cached_version == finding.cached_version
            again = replace(again, verdict=Verdict.STALE if same else Verdict.CATCHING_UP)
        yield _repaired(cache, again or finding, repair=repair)


def _look(cache: FencedCache, fetch: Fetch, id: str) -> Finding | None:
    reading = cache.read(id)
    if reading.state is State.MISS:
        return None
    try:
        fetched = fetch(id, Deadline(cache.clock, FETCH_TIMEOUT_S))
    except FetchFailed:
        return Finding(id, Verdict.UNKNOWN, reading.version, None)
    return Finding(id, _verdict(reading, fetched), reading.version, fetched.version)


def _verdict(reading: Reading, fetched: Fetched) -> Verdict:
    if reading.value == fetched.value:
        return Verdict.CURRENT
    if reading.version > fetched.version and fetched.value is not None and reading.value is not None:
        return Verdict.AHEAD
    return Verdict.CATCHING_UP if reading.state is State.HIT else Verdict.UNVALIDATED


def _repaired(cache: FencedCache, finding: Finding, *, repair: bool) -> Finding:
    if repair and finding.verdict in BROKEN:
        cache.evict([Eviction(finding.id)])
    return finding


@dataclass(slots=True)
class Tally:
    """Counts the checks made `after_s` after the change, and estimates the share of stale entries."""

    after_s: float
    checked: int = 0
    stale: int = 0
    greatest_staleness_s: float = 0.0
    """The longest known time for which a stale value was served."""

    def add(self, *, stale_for_s: float | None) -> None:
        """Count one check; None means that it was consistent."""
        self.checked += 1
        if stale_for_s is not None:
            self.stale += 1
            self.greatest_staleness_s = max(self.greatest_staleness_s, stale_for_s)

    @property
    def consistent_share(self) -> float | None:
        """From 0 to 1; None without a check."""
        return None if self.checked == 0 else 1 - self.stale / self.checked

    @property
    def stale_at_most(self) -> float:
        """The upper 95 % confidence limit of the stale share (Clopper and Pearson, one-sided).

        Without a stale one among n checks it is about 3/n; without a check it is 1: nothing is known.
        """
        if self.stale == self.checked:
            return 1.0
        return _bisect(lambda share: _at_most(self.stale, self.checked, share) - (1 - CONFIDENCE))


def _at_most(successes: int, trials: int, share: float) -> float:
    """Return the probability of at most this many successes, each with probability `share`."""
    logs = (
        lgamma(trials + 1) - lgamma(k + 1) - lgamma(trials - k + 1) + k * log(share) + (trials - k) * log1p(-share)
        for k in range(successes + 1)
    )
    return sum(map(exp, logs))


def _bisect(falling: Callable[[float], float]) -> float:
    """Return the root of a falling function on 0 to 1."""
    low, high = 0.0, 1.0
    # 60 halvings reach the precision of a float between 0 and 1.
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return high


@dataclass(frozen=True, slots=True)
class Check:
    """One check, due `after_s` after its change and made `made_s` after it. `is_stale`: an older version was read."""

    after_s: float
    made_s: float
    is_stale: bool


class ChangeAudit:
    """A BatchHandler that reads each changed entry as a lookup does, 1, 5, 30 and 60 s after the change.

    Use a consumer group of its own, and call `check_due` from a thread. A hit with a version below the change's is
    stale. A change that was read late has only the checks that are still due; a very old one has only the last check. A
    change without a version can't be checked, and is counted.

    `read` is how an id is read, from the cache by default. `takes` chooses the changes that are checked, `checked` is
    told of each check.
    """

    def __init__(
        self,
        cache: FencedCache,
        decode: Decode,
        after_s: Sequence[float] = AFTER_S,
        *,
        read: Callable[[str], Reading] | None = None,
        takes: Callable[[Change], bool] | None = None,
        checked: Callable[[Check], None] | None = None,
    ) -> None:
        self._cache = cache
        self._decode = decode
        self._read = read or cache.read
        self._takes = takes
        self._checked = checked
        self._lock = threading.Lock()
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, Tally, str, int, int]] = []
        self.tallies = [Tally(seconds) for seconds in after_s]
        self.changes = 0
        self.unversioned = 0
        self.unreadable = 0

    @property
    def waiting(self) -> int:
        """The number of checks that are not due yet."""
        return len(self._waiting)

    @property
    def overdue(self) -> int:
        """The number of checks that were due more than a moment ago, and could not be made."""
        with self._lock:
            before_ms = self._cache.clock.now_ms() - _TARDINESS_MS
            return sum(at_ms < before_ms for at_ms, *_ in self._waiting)

    def start(self, partition: int, log: OffsetRange, committed: int | None) -> int | None:
        """Return None: go on where the group stopped, or begin at the log's start."""
        return None

    def handle(self, batch: Batch) -> Handled:
        if self.waiting > MAX_WAITING_CHECKS:
            raise UnavailableError(f"{self.waiting} checks are waiting to become due")
        for record in batch.records:
            try:
                event = self._decode(record)
            except ConversionError:
                # The worker handles the record; the audit only counts it.
                self.unreadable += 1
                continue
            if isinstance(event, Change) and (self._takes is None or self._takes(event)):
                self._plan(event, event.occurred_at_ms or record.timestamp_ms)
        return Handled(quiet=True)

    def idle(self, partition: int, position: int, log: OffsetRange) -> int | None:
        return None

    def stop(self, partition: int) -> None:
        """Do nothing: planned checks stay planned."""

    def check_due(self) -> int:
        """Make the checks that are due; return how many. Raises UnavailableError without losing a check."""
        count = 0
        while (due := self._next()) is not None:
            _, _, tally, id, version, occurred_at_ms = due
            try:
                reading = self._read(id)
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
            if self._checked is not None:
                made_s = (self._cache.clock.now_ms() - occurred_at_ms) / 1000
                self._checked(Check(tally.after_s, made_s, stale_for_s is not None))
            count += 1
        return count

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
    """Make checks when they are due until `stop` returns True, across outages of Redis."""
    while not stop():
        try:
            audit.check_due()
        except UnavailableError as error:
            logger.warning("audit.unavailable", extra={"error": str(error)})
            pause(1.0)
        pause(0.05)
