"""An entry in words."""

import pytest

from devstack.ports import free_port
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import Eviction, FencedCache
from event_stream.fenced_cache.explain import explain
from tests.event_stream.cache_world import PAYLOAD, FakeClock, caches_at, id_at, keep, new_cache


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock)


@pytest.fixture
def id(cache: FencedCache) -> str:
    return id_at(cache, 2)


def words(cache: FencedCache, id: str) -> str:
    return "\n".join(explain(cache, id).lines())


def test_nothing_at_all(cache: FencedCache, id: str) -> None:
    assert words(cache, id).splitlines() == [
        f"{id} belongs to partition 2; its entry's key is {cache.keys.entry(id, 2)}",
        "no entry: never looked up, or expired",
        "no watermark: the worker has not read this partition, or Redis lost it; it keeps no entry fresh",
        "no lease: no lookup is asking the origin",
    ]


def test_a_value_that_the_watermark_vouches_for(cache: FencedCache, id: str, clock: FakeClock) -> None:
    cache.apply(2, -1, 41, (), 0)
    keep(cache, id, 7)
    clock.advance(60)
    assert "no heartbeat yet" in words(cache, id)
    assert "known to be current at 2026-11-18T11:06:40.000Z, 60.000 s ago: stale" in words(cache, id)
    cache.apply(2, 41, 42, (), clock.ms - 1500)
    text = words(cache, id)
    assert f"a value of {len(PAYLOAD)} bytes, version 7, asked for at 2026-11-18T11:06:40.000Z" in text
    assert "as the watermark's: the watermark keeps it fresh" in text
    assert "known to be current at 2026-11-18T11:07:38.500Z, 1.500 s ago: a hit (the maximum staleness is 10 s)" in text
    assert "applied up to offset 42, every change before 2026-11-18T11:07:38.500Z is applied, epoch" in text


def test_an_absence_of_another_epoch(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7, None)
    cache.apply(2, -1, 41, (), 0)
    text = words(cache, id)
    assert "known to be absent, version 7" in text
    assert "epoch (none), not the watermark's: only its own age counts" in text


def test_a_floor_and_a_lease(cache: FencedCache, id: str) -> None:
    cache.apply(2, -1, 41, [Eviction(id, 8)], 0)
    lease = cache.lease(id)
    assert lease is not None
    text = words(cache, id)
    assert "evicted by version 8: older fills are refused for another" in text
    assert f"lease: {lease.token.decode()} is asking the origin for another" in text


def test_redis_is_away(clock: FakeClock) -> None:
    with caches_at(f"redis://127.0.0.1:{free_port()}/0"), pytest.raises(UnavailableError):
        explain(new_cache(clock), "x")
