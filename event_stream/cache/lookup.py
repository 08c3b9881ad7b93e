"""The read path: the cache where it can prove itself, else the origin, asked by one for all."""

import logging
import secrets
import time
from collections.abc import Callable
from concurrent.futures import wait
from dataclasses import dataclass
from enum import Enum
from typing import ParamSpec, TypeVar

from event_stream.cache.answers import FillOutcome, Lease, Reading, State
from event_stream.cache.demand import ANY, Demand
from event_stream.cache.flight import Flights
from event_stream.cache.origin import Budget, Fetch, Fetched, FetchFailed
from event_stream.cache.outage import Outage
from event_stream.cache.protocol import FencedCache
from event_stream.errors import EventStreamError, RefusedError

__all__ = ["Budget", "Demand", "Fetch", "FetchFailed", "Fetched", "Found", "ReadThrough", "Source", "VersionNotReached"]

logger = logging.getLogger("event_stream.cache")
P = ParamSpec("P")
R = TypeVar("R")


class Source(Enum):
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
    source: Source


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
        self._budget_s = budget_s
        self._patience_s = patience_s
        self._sleep = sleep
        self._clock = cache.clock
        self._bound_ms = int(cache.settings.bound_s * 1000)
        self._redis = Outage(self._clock, cool_down_s)
        # A server that takes no writes still has what it has: hits go on, and nothing new is kept.
        self._writes = Outage(
            self._clock, cool_down_s, of=RefusedError, began="cache.refuses_writes", ended="cache.takes_writes"
        )
        self._flights: Flights[_Answer] = Flights()

    def find(self, id: str, demand: Demand = ANY) -> Found:
        """Raises FetchFailed where neither the origin nor the cache has an answer, and VersionNotReached."""
        began_ms = self._clock.now_ms()
        reading = self._redis.attempt(self._cache.read, id)
        if reading is not None and demand.met_by(reading, began_ms, self._bound_ms):
            return _found(reading, Source.HIT)
        try:
            found = self._find_together(id, demand, began_ms)
        except FetchFailed:
            last = None if demand.no_cache else self._redis.attempt(self._cache.read, id)
            if last is None or last.state is State.MISS or not demand.new_enough(last):
                raise
            return _found(last, Source.STALE)
        if demand.min_version is not None and found.version < demand.min_version:
            raise VersionNotReached(found, demand.min_version)
        return found

    def _find_together(self, id: str, demand: Demand, began_ms: int) -> Found:
        """One thread of the process does the work; its answer is everybody's whose demand it meets."""
        began_s = self._clock.monotonic_s()
        budget = Budget(self._clock, self._budget_s)
        patience = Budget(self._clock, self._patience_s)
        while True:
            flight = self._flights.join(id, lambda: self._find_leased(id, demand, began_ms, budget, patience))
            if not wait([flight], timeout=patience.remaining_s()).done:
                return self._ask(id, None, budget).found
            if flight.cancelled():
                continue
            answer = flight.result()
            asked_since = answer.asked_s is not None and answer.asked_s >= began_s
            if asked_since or demand.met_by(answer.reading, began_ms, self._bound_ms):
                return answer.found

    def _find_leased(self, id: str, demand: Demand, began_ms: int, budget: Budget, patience: Budget) -> _Answer:
        """One process asks; the others watch the cache for its answer."""
        while True:
            lease = self._write(self._cache.lease, id)
            # Read after it, too: whoever had it may have filled since the miss that brought us here.
            reading = None if demand.no_cache else self._redis.attempt(self._cache.read, id)
            if reading is not None and demand.met_by(reading, began_ms, self._bound_ms):
                if lease is not None:
                    self._write(self._cache.release, lease)
                return _Answer(_found(reading, Source.HIT), reading, None)
            nobody_fills = self._redis.on or self._writes.on
            if lease is not None or demand.no_cache or nobody_fills or not patience.remaining_s():
                return self._ask(id, lease, budget)
            self._sleep(min(patience.remaining_s(), (20 + secrets.randbelow(31)) / 1000))

    def _ask(self, id: str, lease: Lease | None, budget: Budget) -> _Answer:
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
        reading = Reading(State.HIT, fetched.value, fetched.version, asked_ms)
        return _Answer(_found(reading, Source.BYPASS if lease is None else Source.MISS), reading, asked_s)

    def _write(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        # A refusal is an answer: whoever gives it can be reached.
        return self._redis.attempt(lambda: self._writes.attempt(work, *args, **kwargs))


def _found(reading: Reading, source: Source) -> Found:
    return Found(reading.value, reading.version, reading.fresh_at_ms, source)
