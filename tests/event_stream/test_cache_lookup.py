"""The read path: what is answered from where, for every demand and every thing that may be away."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest

from devstack.waiting import wait_until
from event_stream import signals
from event_stream.clock import SystemClock
from event_stream.fenced_cache import (
    CacheStatus,
    Deadline,
    Eviction,
    FencedCache,
    Fetched,
    FetchFailed,
    Found,
    FreshnessRequirement,
    Lease,
    ReadThrough,
    State,
    VersionNotReached,
)
from event_stream.fenced_cache.cache import MISS, FillOutcome
from tests.event_stream.cache_world import NOW_MS, PAYLOAD, FakeClock, keep, new_cache
from tests.event_stream.received_signals import received

ID = "4d10ec24-141a-4980-be34-2ddb5e0458c7"


@dataclass
class Origin:
    """The organization service, as it were. `before` is called within a fetch, before it is answered."""

    clock: FakeClock
    version: int = 7
    value: bytes | None = PAYLOAD
    away: bool = False
    before: Callable[[], None] = lambda: None
    asked: list[float] = field(default_factory=list)

    def __call__(self, id: str, budget: Deadline) -> Fetched:
        assert id == ID
        self.asked.append(budget.remaining_s())
        version, value = self.version, self.value
        self.before()
        if self.away:
            raise FetchFailed("the origin is away")
        return Fetched(version, value)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock)


@pytest.fixture
def origin(clock: FakeClock) -> Origin:
    return Origin(clock)


@pytest.fixture
def lookup(cache: FencedCache, origin: Origin, clock: FakeClock) -> ReadThrough:
    # A waiting thread moves the clock, so that no test has to.
    return ReadThrough(cache, origin, sleep=clock.advance)


def test_a_miss_asks_and_fills_and_then_it_is_a_hit(lookup: ReadThrough, origin: Origin) -> None:
    assert lookup.find(ID) == Found(PAYLOAD, 7, NOW_MS, CacheStatus.MISS)
    assert lookup.find(ID) == Found(PAYLOAD, 7, NOW_MS, CacheStatus.HIT)
    assert origin.asked == [2.0]


def test_each_lookup_and_each_fill_sends_a_signal(lookup: ReadThrough, origin: Origin) -> None:
    with received(signals.lookup_answered) as answers, received(signals.cache_filled) as fills:
        missed, hit = lookup.find(ID), lookup.find(ID)
        origin.away = True
        with pytest.raises(FetchFailed):
            lookup.find(ID, FreshnessRequirement(no_cache=True))
    assert [(answer["id"], answer["found"]) for answer in answers] == [(ID, missed), (ID, hit), (ID, None)]
    assert [str(answer["error"]) for answer in answers] == ["None", "None", "the origin is away"]
    assert all(answer["seconds"] >= 0 for answer in answers)
    assert fills == [{"id": ID, "version": 7, "outcome": FillOutcome.FILLED}]


def test_an_absence_is_kept_too(lookup: ReadThrough, origin: Origin) -> None:
    origin.value = None
    assert lookup.find(ID) == Found(None, 7, NOW_MS, CacheStatus.MISS)
    assert lookup.find(ID) == Found(None, 7, NOW_MS, CacheStatus.HIT)
    assert len(origin.asked) == 1


def test_freshness_counts_from_when_the_asking_began(
    lookup: ReadThrough, cache: FencedCache, origin: Origin, clock: FakeClock
) -> None:
    origin.before = lambda: clock.advance(3)
    assert lookup.find(ID).fresh_at_ms == NOW_MS
    assert cache.read(ID).fresh_at_ms == NOW_MS


def test_a_stale_value_is_asked_for_anew(lookup: ReadThrough, origin: Origin, clock: FakeClock) -> None:
    lookup.find(ID)
    clock.advance(11)
    origin.version = 8
    assert lookup.find(ID) == Found(PAYLOAD, 8, clock.ms, CacheStatus.MISS)


def test_an_answer_that_an_event_overtook_is_given_but_not_kept(
    lookup: ReadThrough, cache: FencedCache, origin: Origin
) -> None:
    origin.before = lambda: cache.evict([Eviction(ID, 8)])
    assert lookup.find(ID) == Found(PAYLOAD, 7, NOW_MS, CacheStatus.MISS)
    assert cache.read(ID) == MISS


def test_an_answer_older_than_an_eviction_is_not_kept_and_said_so(
    lookup: ReadThrough, cache: FencedCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.evict([Eviction(ID, 8)])
    assert lookup.find(ID).version == 7
    assert cache.read(ID) == MISS
    assert [record.message for record in caplog.records] == ["fill.older"]


# While somebody else asks


def test_who_finds_a_lease_waits_for_the_answer_in_short_steps(
    cache: FencedCache, origin: Origin, clock: FakeClock
) -> None:
    lease = cache.lease(ID)
    assert lease is not None
    steps: list[float] = []

    def sleep(seconds: float) -> None:
        steps.append(seconds)
        clock.advance(seconds)
        if len(steps) == 5:
            cache.fill(lease, 9, PAYLOAD, clock.ms)

    found = ReadThrough(cache, origin, sleep=sleep).find(ID)
    assert (found.version, found.source) == (9, CacheStatus.HIT)
    assert origin.asked == []
    assert all(0.02 <= step <= 0.05 for step in steps)
    assert len(set(steps)) > 1


def test_who_finds_a_lease_takes_it_when_it_is_given_up(cache: FencedCache, origin: Origin) -> None:
    lease = cache.lease(ID)
    assert lease is not None
    found = ReadThrough(cache, origin, sleep=lambda _: cache.release(lease)).find(ID)
    assert (found.version, found.source) == (7, CacheStatus.MISS)
    assert cache.read(ID).state is State.HIT


def test_who_gets_the_lease_after_somebody_elses_fill_gives_it_up(cache: FencedCache, origin: Origin) -> None:
    """It missed, then another filled and was done, then it got the lease: there is nothing left to ask."""

    class Late(FencedCache):
        def lease(self, id: str) -> Lease | None:
            keep(cache, ID, 9)
            return super().lease(id)

    late = Late(namespace=cache.keys.namespace, clock=cache.clock)
    found = ReadThrough(late, origin).find(ID)
    assert (found.version, found.source) == (9, CacheStatus.HIT)
    assert origin.asked == []
    assert cache.lease(ID) is not None


def test_patience_ends_and_then_one_asks_past_the_cache_with_what_is_left_of_the_time(
    lookup: ReadThrough, cache: FencedCache, origin: Origin
) -> None:
    assert cache.lease(ID) is not None
    found = lookup.find(ID)
    assert found.source is CacheStatus.BYPASS
    assert origin.asked == [pytest.approx(1.0)]
    assert cache.read(ID) == MISS


# Demands


@pytest.mark.parametrize(
    "demand",
    [
        FreshnessRequirement(no_cache=True),
        FreshnessRequirement(max_age_s=2),
        FreshnessRequirement(min_fresh_s=8),
        FreshnessRequirement(min_version=8),
    ],
)
def test_a_demand_that_the_cache_does_not_meet_asks_the_origin(
    lookup: ReadThrough, origin: Origin, clock: FakeClock, demand: FreshnessRequirement
) -> None:
    lookup.find(ID)
    clock.advance(2.001)
    origin.version = 8
    assert lookup.find(ID, demand) == Found(PAYLOAD, 8, clock.ms, CacheStatus.MISS)
    assert lookup.find(ID).source is CacheStatus.HIT
    assert lookup.find(ID).version == 8


@pytest.mark.parametrize(
    "demand",
    [
        FreshnessRequirement(max_age_s=2),
        FreshnessRequirement(min_fresh_s=8),
        FreshnessRequirement(min_version=7),
        FreshnessRequirement(max_age_s=3600),
    ],
)
def test_a_demand_that_the_cache_meets_is_a_hit(
    lookup: ReadThrough, clock: FakeClock, demand: FreshnessRequirement
) -> None:
    lookup.find(ID)
    clock.advance(2)
    assert lookup.find(ID, demand).source is CacheStatus.HIT


def test_a_demand_never_makes_the_bound_wider(lookup: ReadThrough, clock: FakeClock) -> None:
    lookup.find(ID)
    clock.advance(11)
    assert lookup.find(ID, FreshnessRequirement(max_age_s=3600)).source is CacheStatus.MISS


def test_no_cache_does_not_wait_for_an_answer_to_somebody_elses_question(
    lookup: ReadThrough, cache: FencedCache, clock: FakeClock
) -> None:
    assert cache.lease(ID) is not None
    assert lookup.find(ID, FreshnessRequirement(no_cache=True)) == Found(PAYLOAD, 7, NOW_MS, CacheStatus.BYPASS)
    assert clock.ms == NOW_MS


def test_an_origin_that_is_older_than_what_was_written_is_no_answer(lookup: ReadThrough, cache: FencedCache) -> None:
    with pytest.raises(VersionNotReached, match="has version 7, and 8 is wanted") as raised:
        lookup.find(ID, FreshnessRequirement(min_version=8))
    assert raised.value.found.version == 7
    assert cache.read(ID).version == 7


def test_a_known_absence_does_not_prove_what_was_written_since(lookup: ReadThrough, cache: FencedCache) -> None:
    """The row had version 5 before the absence was seen with the clock at 6, and was committed after it."""
    keep(cache, ID, 6, None)
    assert lookup.find(ID, FreshnessRequirement(min_version=5)).value == PAYLOAD


def test_an_absence_answers_if_the_origin_says_so_now(lookup: ReadThrough, origin: Origin) -> None:
    origin.value = None
    assert lookup.find(ID, FreshnessRequirement(min_version=5)) == Found(None, 7, NOW_MS, CacheStatus.MISS)


# The origin is away


def test_the_last_that_is_known_is_served_and_marked(lookup: ReadThrough, origin: Origin, clock: FakeClock) -> None:
    lookup.find(ID)
    clock.advance(3600)
    origin.away = True
    assert lookup.find(ID) == Found(PAYLOAD, 7, NOW_MS, CacheStatus.STALE)
    assert lookup.find(ID, FreshnessRequirement(max_age_s=1)).source is CacheStatus.STALE
    assert lookup.find(ID, FreshnessRequirement(min_version=7)).source is CacheStatus.STALE


@pytest.mark.parametrize("demand", [FreshnessRequirement(no_cache=True), FreshnessRequirement(min_version=8)])
def test_where_the_last_that_is_known_will_not_do_the_failure_is_told(
    lookup: ReadThrough, origin: Origin, demand: FreshnessRequirement
) -> None:
    lookup.find(ID)
    origin.away = True
    with pytest.raises(FetchFailed, match="the origin is away"):
        lookup.find(ID, demand)


def test_where_nothing_is_known_the_failure_is_told(lookup: ReadThrough, origin: Origin) -> None:
    origin.away = True
    with pytest.raises(FetchFailed, match="the origin is away"):
        lookup.find(ID)


def test_what_was_evicted_meanwhile_is_not_served(
    lookup: ReadThrough, cache: FencedCache, origin: Origin, clock: FakeClock
) -> None:
    lookup.find(ID)
    clock.advance(11)
    origin.away = True
    origin.before = lambda: cache.evict([Eviction(ID, 8)])
    with pytest.raises(FetchFailed):
        lookup.find(ID)


@pytest.mark.parametrize("error", [FetchFailed("away"), RuntimeError("a mistake"), KeyboardInterrupt()])
def test_whoever_fails_gives_the_lease_up(
    lookup: ReadThrough, cache: FencedCache, origin: Origin, error: BaseException
) -> None:
    def fail() -> None:
        raise error

    origin.before = fail
    with pytest.raises(type(error)):
        lookup.find(ID)
    assert cache.lease(ID) is not None


# Threads of one process


@pytest.mark.parametrize(
    ("later_s", "demand"),
    [(1, FreshnessRequirement(no_cache=True)), (11, FreshnessRequirement())],
    ids=["no_cache", "too_old"],
)
def test_a_thread_whose_demand_the_common_answer_does_not_meet_asks_again(
    clock: FakeClock, later_s: float, demand: FreshnessRequirement
) -> None:
    """It was asked for before this one's request began, who wants no_cache, or longer ago than the bound before it."""
    first_is_in, go_on = threading.Event(), threading.Event()
    versions = iter((7, 8))

    def fetch(id: str, budget: Deadline) -> Fetched:
        version = next(versions)
        if version == 7:
            first_is_in.set()
            assert go_on.wait(10)
        return Fetched(version, PAYLOAD)

    lookup = ReadThrough(new_cache(clock), fetch, budget_s=20, patience_s=10)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lookup.find, ID)
        assert first_is_in.wait(10)
        clock.advance(later_s)
        second = pool.submit(lookup.find, ID, demand)
        assert not wait_until(second.done, within_s=0.2)
        go_on.set()
        assert first.result(10).version == 7
        assert second.result(10).version == 8


def test_threads_that_waited_for_one_that_was_stopped_go_on_without_it() -> None:
    cache = new_cache(SystemClock())
    first_is_in, go_on = threading.Event(), threading.Event()

    class Stopped(BaseException):
        pass

    def fetch(id: str, budget: Deadline) -> Fetched:
        if not first_is_in.is_set():
            first_is_in.set()
            assert go_on.wait(10)
            raise Stopped
        return Fetched(7, PAYLOAD)

    lookup = ReadThrough(cache, fetch, budget_s=20, patience_s=10)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lookup.find, ID)
        assert first_is_in.wait(10)
        second = pool.submit(lookup.find, ID)
        assert not wait_until(second.done, within_s=0.2)
        go_on.set()
        assert isinstance(first.exception(10), Stopped)
        assert second.result(10).version == 7
