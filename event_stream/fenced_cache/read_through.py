"""The read path: the cache where it can prove itself, else the origin, asked by one for all."""

import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from enum import Enum
from typing import Generic, ParamSpec, Protocol, TypeVar

from event_stream import signals
from event_stream.clock import Clock
from event_stream.errors import EventStreamError, RefusedError, UnavailableError
from event_stream.fenced_cache.cache import FencedCache, FillOutcome, Lease, Reading, State
from event_stream.fenced_cache.freshness import ANY, FreshnessRequirement
from event_stream.outage_log import OutageLog

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """At most one piece of work is under way for a key: one thread does it, the others wait for what it gets."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[T]] = {}

    def join(self, key: str, work: Callable[[], T]) -> "Future[T]":
        """The future of the work: done where this caller was the one to do it, else of whoever does it.

        Cancelled where that thread was stopped in the middle (SystemExit and the like).
        """
        with self._lock:
            flight = self._under_way.get(key)
            if flight is not None:
                return flight
            flight = self._under_way[key] = Future()
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised in every thread that asks for the result
            self._land(key)
            flight.set_exception(error)
        except BaseException:
            self._land(key)
            flight.cancel()
            flight.set_running_or_notify_cancel()
            raise
        else:
            self._land(key)
            flight.set_result(result)
        return flight

    def _land(self, key: str) -> None:
        """Later callers start a flight of their own."""
        with self._lock:
            del self._under_way[key]


class FetchFailed(EventStreamError):  # noqa: N818 - what happened, not what to do about it
    """The origin gave no answer: away, too slow, too busy, or in error."""


class Deadline:
    """The time that is left for a whole lookup, however many tries are made within it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + seconds

    def remaining_s(self) -> float:
        """Never below 0."""
        return max(0.0, self._end_s - self._clock.monotonic_s())


@dataclass(frozen=True, slots=True)
class Fetched:
    """`value` is None where there is nothing under the id; `version` is then a clock of the origin's."""

    version: int
    value: bytes | None


class Fetch(Protocol):
    """Asks the origin, within a budget."""

    def __call__(self, id: str, budget: Deadline, /) -> Fetched:
        """What the origin has now. Raises FetchFailed, at the latest when the budget is spent."""


logger = logging.getLogger("event_stream.fenced_cache")
P = ParamSpec("P")
R = TypeVar("R")


class CacheStatus(Enum):
    """Where an answer comes from."""

    HIT = "hit"
    MISS = "miss"
    """The origin was asked, and the answer offered to the cache."""
    STALE = "stale"
    """The origin is away; this is the last that was known."""
    BYPASS = "bypass"
    """The origin was asked past the cache, which is away or waits for somebody else's answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """`value` is None where there is nothing under the id. It was current at `fresh_at_ms` (since the Unix epoch)."""

    value: bytes | None
    version: int
    fresh_at_ms: int
    source: CacheStatus


class VersionNotReached(EventStreamError):  # noqa: N818 - an answer, of which the caller decides what it means
    """The origin itself has an older version than the demand's `min_version`."""

    def __init__(self, found: Found, min_version: int) -> None:
        super().__init__(f"the origin has version {found.version}, and {min_version} is wanted")
        self.found = found
        self.min_version = min_version


@dataclass(frozen=True, slots=True)
class _Answer:
    found: Found
    reading: Reading
    """The same as the cache would say it, for the demands of others who waited for it."""
    asked_s: float | None
    """When the origin was asked, on this process's monotonic clock; None where the cache answered."""


class ReadThrough:
    """Looks an id up. One instance serves all threads of a process.

    `budget_s` is for a whole lookup; up to `patience_s` of it is spent on waiting for somebody else's answer. After a
    failure of Redis it is left alone for `cool_down_s`.
    """

    def __init__(
        self,
        cache: FencedCache,
        fetch: Fetch,
        *,
        budget_s: float = 2.0,
        patience_s: float = 1.0,
        cool_down_s: float = 1.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cache = cache
        self._fetch = fetch
        self.configure(budget_s=budget_s, patience_s=patience_s)
        self._sleep = sleep
        self._clock = cache.clock
        self._redis = CircuitBreaker(self._clock, cool_down_s)
        # A server that takes no writes still has what it has: hits go on, and nothing new is kept.
        self._writes = CircuitBreaker(
            self._clock,
            cool_down_s,
            name="cache_writes",
            of=RefusedError,
            began="cache.refuses_writes",
            ended="cache.takes_writes",
        )
        self._flights: SingleFlight[_Answer] = SingleFlight()

    def configure(self, *, budget_s: float, patience_s: float) -> None:
        """Have these limits for lookups that begin from now on. From any thread."""
        self._budget_s = budget_s
        self._patience_s = patience_s

    def find(self, id: str, demand: FreshnessRequirement = ANY) -> Found:
        """Raises FetchFailed where neither the origin nor the cache has an answer, and VersionNotReached."""
        began_s, found, error = time.perf_counter(), None, None
        try:
            found = self._find(id, demand)
        except Exception as raised:
            error = raised
            raise
        else:
            return found
        finally:
            seconds = time.perf_counter() - began_s
            signals.lookup_answered.send_robust(type(self), id=id, found=found, error=error, seconds=seconds)

    def find_cached(self, id: str) -> Found | None:
        """Return a fresh answer out of the cache. None: only `find` can tell, and nothing was counted."""
        began_s = time.perf_counter()
        found = self._hit(id, ANY, self._clock.now_ms())
        if found is not None:
            seconds = time.perf_counter() - began_s
            signals.lookup_answered.send_robust(type(self), id=id, found=found, error=None, seconds=seconds)
        return found

    def _hit(self, id: str, demand: FreshnessRequirement, began_ms: int) -> Found | None:
        reading = self._redis.attempt(self._cache.read, id)
        if reading is not None and demand.met_by(reading, began_ms, self._cache.max_staleness_ms):
            return _found(reading, CacheStatus.HIT)
        return None

    def _find(self, id: str, demand: FreshnessRequirement) -> Found:
        began_ms = self._clock.now_ms()
        hit = self._hit(id, demand, began_ms)
        if hit is not None:
            return hit
        try:
            found = self._find_together(id, demand, began_ms)
        except FetchFailed:
            last = None if demand.no_cache else self._redis.attempt(self._cache.read, id)
            if last is None or last.state is State.MISS or not demand.new_enough(last):
                raise
            return _found(last, CacheStatus.STALE)
        if demand.min_version is not None and found.version < demand.min_version:
            raise VersionNotReached(found, demand.min_version)
        return found

    def _find_together(self, id: str, demand: FreshnessRequirement, began_ms: int) -> Found:
        """One thread of the process does the work; its answer is everybody's whose demand it meets."""
        began_s = self._clock.monotonic_s()
        budget = Deadline(self._clock, self._budget_s)
        patience = Deadline(self._clock, self._patience_s)
        while True:
            flight = self._flights.join(id, lambda: self._find_leased(id, demand, began_ms, budget, patience))
            if not wait([flight], timeout=patience.remaining_s()).done:
                return self._ask(id, None, budget).found
            if flight.cancelled():
                continue
            answer = flight.result()
            asked_since = answer.asked_s is not None and answer.asked_s >= began_s
            if asked_since or demand.met_by(answer.reading, began_ms, self._cache.max_staleness_ms):
                return answer.found

    def _find_leased(
        self, id: str, demand: FreshnessRequirement, began_ms: int, budget: Deadline, patience: Deadline
    ) -> _Answer:
        """One process asks; the others watch the cache for its answer."""
        while True:
            lease = self._write(self._cache.lease, id)
            # Read after it, too: whoever had it may have filled since the miss that brought us here.
            reading = None if demand.no_cache else self._redis.attempt(self._cache.read, id)
            if reading is not None and demand.met_by(reading, began_ms, self._cache.max_staleness_ms):
                if lease is not None:
                    self._write(self._cache.release, lease)
                return _Answer(_found(reading, CacheStatus.HIT), reading, None)
            nobody_fills = self._redis.on or self._writes.on or self._cache.disagrees
            if lease is not None or demand.no_cache or nobody_fills or not patience.remaining_s():
                return self._ask(id, lease, budget)
            self._sleep(min(patience.remaining_s(), (20 + secrets.randbelow(31)) / 1000))

    def _ask(self, id: str, lease: Lease | None, budget: Deadline) -> _Answer:
        asked_ms, asked_s = self._clock.now_ms(), self._clock.monotonic_s()
        try:
            fetched = self._fetch(id, budget)
        except BaseException:
            if lease is not None:
                self._write(self._cache.release, lease)
            raise
        if lease is not None:
            outcome = self._write(self._cache.fill, lease, fetched.version, fetched.value, asked_ms)
            if outcome is FillOutcome.OLDER:
                logger.warning("fill.older", extra={"id": id, "version": fetched.version})
            signals.cache_filled.send_robust(type(self), id=id, version=fetched.version, outcome=outcome)
        reading = Reading(State.HIT, fetched.value, fetched.version, asked_ms)
        return _Answer(_found(reading, CacheStatus.BYPASS if lease is None else CacheStatus.MISS), reading, asked_s)

    def _write(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        # A refusal is an answer: whoever gives it can be reached.
        return self._redis.attempt(lambda: self._writes.attempt(work, *args, **kwargs))


def _found(reading: Reading, source: CacheStatus) -> Found:
    return Found(reading.value, reading.version, reading.fresh_at_ms, source)


class CircuitBreaker:
    """Stands before a server: one that is away costs its callers one failure a second, and one line in the log.

    After a failure nobody tries for `cool_down_s`; then one caller does, and so on.

    `name` is what the signal `circuit_changed` calls it. `of` is the kind of failure that it is there for, others are
    raised; `began` and `ended` are its two lines.
    """

    def __init__(
        self,
        clock: Clock,
        cool_down_s: float,
        *,
        name: str = "cache",
        of: type[UnavailableError] = UnavailableError,
        began: str = "cache.unreachable",
        ended: str = "cache.reachable",
    ) -> None:
        self._name = name
        self._of = of
        self._outage = OutageLog(logger, began=began, ended=ended, monotonic_s=clock.monotonic_s)
        self._clock = clock
        self._cool_down_s = cool_down_s
        self._lock = threading.Lock()
        self._next_try_s = 0.0

    @property
    def on(self) -> bool:
        return self._outage.is_on()

    def attempt(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """What the work returns; None where the server fails (`of`) or did a moment ago."""
        if self.on and not self._my_turn():
            return None
        try:
            result = work(*args, **kwargs)
        except self._of as error:
            self._failed(error)
            return None
        if self.on:
            self._succeeded()
        return result

    def _my_turn(self) -> bool:
        with self._lock:
            now_s = self._clock.monotonic_s()
            if now_s < self._next_try_s:
                return False
            self._next_try_s = now_s + self._cool_down_s
            return True

    def _succeeded(self) -> None:
        with self._lock:
            self._outage.succeeded()
            self._tell()

    def _failed(self, error: UnavailableError) -> None:
        with self._lock:
            self._next_try_s = self._clock.monotonic_s() + self._cool_down_s
            # While nobody can begin to try: `on` and the time of the next try change together.
            self._outage.failed(error)
            self._tell()

    def _tell(self) -> None:
        signals.circuit_changed.send_robust(type(self), circuit=self._name, is_open=self.on)
