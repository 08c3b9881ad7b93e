"""A thousand that want the same at once: one question to the origin."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from devstack.ports import free_port
from event_stream.clock import SystemClock
from event_stream.fenced_cache import (
    CacheStatus,
    Deadline,
    FencedCache,
    Fetched,
    FetchFailed,
    Found,
    FreshnessRequirement,
    ReadThrough,
)
from tests.event_stream.cache_world import PAYLOAD, caches_at, new_cache

THREADS = 1000
ID = "4d10ec24-141a-4980-be34-2ddb5e0458c7"


class SlowOrigin:
    """Takes 300 ms for an answer."""

    def __init__(self) -> None:
        self.calls = 0
        self._lock = threading.Lock()

    def __call__(self, id: str, budget: Deadline) -> Fetched:
        with self._lock:
            self.calls += 1
        time.sleep(0.3)
        return Fetched(7, PAYLOAD)


def all_at_once(
    find: Sequence[Callable[[str, FreshnessRequirement], Found]], demand: FreshnessRequirement
) -> list[Found]:
    """Each of THREADS threads asks one of these, when all are there."""
    barrier = threading.Barrier(THREADS)

    def ask(number: int) -> Found:
        barrier.wait(60)
        return find[number % len(find)](ID, demand)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(ask, range(THREADS)))


@pytest.mark.parametrize("processes", [1, 20])
@pytest.mark.parametrize("demand", [FreshnessRequirement(), FreshnessRequirement(max_age_s=5, min_version=7)])
def test_a_thousand_misses_are_one_call(processes: int, demand: FreshnessRequirement) -> None:
    """`processes`: groups of threads that share nothing but Redis, as processes do."""
    origin = SlowOrigin()
    # No answer of Redis is given up: then each would have to ask for himself, and a thousand threads take their time.
    with caches_at(f"{os.environ['REDIS_URL']}?socket_timeout=60&socket_connect_timeout=60&max_connections={THREADS}"):
        cache = new_cache(SystemClock(), lease_ms=60_000, max_staleness_s=600)
        groups = [ReadThrough(_sibling(cache), origin, budget_s=120, patience_s=60).find for _ in range(processes)]
        found = all_at_once(groups, demand)
    assert origin.calls == 1
    assert {(each.version, each.value) for each in found} == {(7, PAYLOAD)}
    assert Counter(each.source for each in found)[CacheStatus.BYPASS] == 0


def test_without_redis_a_thousand_are_a_call_for_each_process() -> None:
    origin = SlowOrigin()
    with caches_at(f"redis://127.0.0.1:{free_port()}/0"):
        cache = new_cache(SystemClock())
        groups = [ReadThrough(_sibling(cache), origin, budget_s=120, patience_s=60).find for _ in range(4)]
        found = all_at_once(groups, FreshnessRequirement())
    # One at a time in each group; a thread that arrives after an answer begins another, so a few more are right.
    assert {each.source for each in found} == {CacheStatus.BYPASS}
    assert origin.calls < THREADS / 10


def test_a_failure_is_told_to_all_that_waited_for_it() -> None:
    calls: list[float] = []

    def fetch(id: str, budget: Deadline) -> Fetched:
        calls.append(time.monotonic())
        time.sleep(0.3)
        raise FetchFailed("away")

    lookup = ReadThrough(new_cache(SystemClock()), fetch, budget_s=120, patience_s=60)

    def find(id: str, demand: FreshnessRequirement) -> Found:
        with pytest.raises(FetchFailed, match="away"):
            lookup.find(id, demand)
        return Found(None, 0, 0, CacheStatus.STALE)

    all_at_once([find], FreshnessRequirement())
    assert len(calls) < THREADS / 10


def _sibling(cache: FencedCache) -> FencedCache:
    """The same cache in another process."""
    return FencedCache(
        namespace=cache.keys.namespace, partitions=cache.keys.partitions, settings=cache.settings, clock=cache.clock
    )
