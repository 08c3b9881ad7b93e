"""Each operation of the protocol, on a real server."""

import pytest

from devstack.ports import free_port
from event_stream.errors import ConfigurationError, UnavailableError
from event_stream.fenced_cache import Eviction, FencedCache, FillOutcome, State
from event_stream.fenced_cache.cache import MISS, Applied, OutOfStep
from event_stream.fenced_cache.entry import MAX_VERSION, Watermark
from tests.event_stream.cache_world import NOW_MS, PAYLOAD, FakeClock, caches_at, id_at, keep, new_cache, raw


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock)


@pytest.fixture
def id(cache: FencedCache) -> str:
    return id_at(cache, 2)


def test_what_was_filled_is_read_unchanged(cache: FencedCache, id: str) -> None:
    assert cache.read(id) == MISS
    keep(cache, id, 7)
    reading = cache.read(id)
    assert (reading.state, reading.value, reading.version, reading.fresh_at_ms) == (State.HIT, PAYLOAD, 7, NOW_MS)


def test_a_known_absence_is_a_hit_without_a_value(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7, None)
    reading = cache.read(id)
    assert (reading.state, reading.value, reading.version) == (State.HIT, None, 7)


def test_an_empty_value_is_refused_because_it_would_be_read_as_one(cache: FencedCache, id: str) -> None:
    lease = cache.lease(id)
    assert lease is not None
    with pytest.raises(ValueError, match="must not be empty"):
        cache.fill(lease, 1, b"", NOW_MS)


def test_a_hit_turns_stale_after_the_bound(cache: FencedCache, id: str, clock: FakeClock) -> None:
    keep(cache, id, 7)
    clock.advance(10)
    assert cache.read(id).state is State.HIT
    clock.advance(0.001)
    assert cache.read(id).state is State.STALE
    assert cache.read(id).value == PAYLOAD


def test_a_heartbeat_carries_the_freshness_on(cache: FencedCache, id: str, clock: FakeClock) -> None:
    cache.apply(2, -1, 0, (), 0)
    keep(cache, id, 7)
    clock.advance(60)
    cache.apply(2, 0, 1, (), clock.ms - 500)
    reading = cache.read(id)
    assert (reading.state, reading.fresh_at_ms) == (State.HIT, clock.ms - 500)


def test_a_heartbeat_never_takes_freshness_back(cache: FencedCache, id: str) -> None:
    cache.apply(2, -1, 0, (), NOW_MS)
    cache.apply(2, 0, 1, (), NOW_MS - 5000)
    assert cache.watermark(2) == Watermark(_epoch(cache), 1, NOW_MS)
    keep(cache, id, 7, as_of_ms=NOW_MS - 9000)
    assert cache.read(id).fresh_at_ms == NOW_MS


def test_another_partitions_heartbeat_vouches_for_nothing(cache: FencedCache, id: str, clock: FakeClock) -> None:
    for partition in (2, 3):
        cache.apply(partition, -1, 0, (), 0)
    keep(cache, id, 7)
    clock.advance(60)
    cache.apply(3, 0, 1, (), clock.ms)
    assert cache.read(id).state is State.STALE


def test_a_value_leased_without_a_watermark_is_never_vouched_for(cache: FencedCache, id: str, clock: FakeClock) -> None:
    keep(cache, id, 7)
    clock.advance(60)
    cache.apply(2, -1, 0, (), clock.ms)
    assert cache.read(id).state is State.STALE


def test_the_epoch_is_that_of_the_lease_and_not_of_the_fill(cache: FencedCache, id: str, clock: FakeClock) -> None:
    cache.apply(2, -1, 0, (), 0)
    lease = cache.lease(id)
    assert lease is not None
    watermark = cache.watermark(2)
    assert cache.begin_epoch(2, 5, instead_of=watermark)
    cache.fill(lease, 7, PAYLOAD, NOW_MS)
    clock.advance(60)
    cache.apply(2, 5, 6, (), clock.ms)
    assert cache.read(id).state is State.STALE


@pytest.mark.parametrize("ahead_s", [11, 10_000_000])
def test_a_proof_from_the_future_proves_nothing(cache: FencedCache, id: str, clock: FakeClock, ahead_s: int) -> None:
    keep(cache, id, 7, as_of_ms=clock.ms + ahead_s * 1000)
    assert cache.read(id).state is State.STALE


def test_one_reader_at_a_time_has_the_lease(cache: FencedCache, id: str) -> None:
    lease = cache.lease(id)
    assert lease is not None
    assert cache.lease(id) is None
    cache.release(lease)
    again = cache.lease(id)
    assert again is not None
    assert again != lease


def test_a_lease_that_was_given_is_given_again_to_the_same_token(cache: FencedCache, id: str) -> None:
    keys = [cache.keys.lease(id, 2), cache.keys.watermark(2)]
    first = cache.scripts.run("lease", keys, ["token", 3000, ""])
    assert cache.scripts.run("lease", keys, ["token", 3000, ""]) == first == b"token|"
    assert cache.scripts.run("lease", keys, ["toke", 3000, ""]) is None


def test_only_ones_own_lease_is_released(cache: FencedCache, id: str) -> None:
    old = cache.lease(id)
    assert old is not None
    cache.release(old)
    assert cache.lease(id) is not None
    cache.release(old)
    assert cache.lease(id) is None


def test_leases_floors_and_values_end_and_the_watermark_does_not(cache: FencedCache, id: str) -> None:
    redis = cache.scripts.redis
    entry, lease_key = cache.keys.entry(id, 2), cache.keys.lease(id, 2)
    lease = cache.lease(id)
    assert lease is not None
    assert 0 < redis.pttl(lease_key) <= 3_000
    cache.fill(lease, 7, PAYLOAD, NOW_MS)
    assert 86_300_000 < redis.pttl(entry) <= 86_400_000
    cache.apply(2, -1, 0, [Eviction(id, 8)], 0)
    assert 200_000 < redis.pttl(entry) <= 300_000
    assert redis.pttl(cache.keys.watermark(2)) == -1


def test_a_lease_fills_once(cache: FencedCache, id: str) -> None:
    lease = cache.lease(id)
    assert lease is not None
    assert cache.fill(lease, 7, PAYLOAD, NOW_MS) is FillOutcome.FILLED
    assert cache.fill(lease, 8, PAYLOAD, NOW_MS) is FillOutcome.LEASE_LOST
    assert cache.read(id).version == 7


def test_an_older_answer_is_refused_and_uses_the_lease_up(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    lease = cache.lease(id)
    assert lease is not None
    assert cache.fill(lease, 6, PAYLOAD, NOW_MS) is FillOutcome.OLDER
    assert cache.read(id).version == 7
    assert cache.lease(id) is not None


def test_an_answer_of_the_same_version_renews(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    keep(cache, id, 7, as_of_ms=NOW_MS + 3000)
    assert cache.read(id).fresh_at_ms == NOW_MS + 3000


def test_an_event_evicts_what_is_older(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    cache.apply(2, -1, 0, [Eviction(id, 8)], 0)
    assert cache.read(id) == MISS
    assert raw(cache, id) == b"T|8"


def test_an_event_spares_the_value_that_has_it_already(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    cache.apply(2, -1, 0, [Eviction(id, 7)], 0)
    cache.apply(2, 0, 1, [Eviction(id, 6)], 0)
    assert cache.read(id).version == 7


def test_a_floor_keeps_older_answers_out_and_never_sinks(cache: FencedCache, id: str) -> None:
    cache.apply(2, -1, 0, [Eviction(id, 8)], 0)
    cache.apply(2, 0, 1, [Eviction(id, 5)], 0)
    keep(cache, id, 7)
    assert cache.read(id) == MISS
    keep(cache, id, 8)
    assert cache.read(id).version == 8


@pytest.mark.parametrize("version", [8, 7, 6, None])
def test_an_event_clears_the_lease_whatever_its_version(cache: FencedCache, id: str, version: int | None) -> None:
    keep(cache, id, 7)
    lease = cache.lease(id)
    assert lease is not None
    cache.apply(2, -1, 0, [Eviction(id, version)], 0)
    assert cache.fill(lease, 9, PAYLOAD, NOW_MS) is FillOutcome.LEASE_LOST


def test_an_event_without_a_version_leaves_the_values_own_as_floor(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    cache.apply(2, -1, 0, [Eviction(id)], 0)
    assert raw(cache, id) == b"T|7"
    cache.apply(2, 0, 1, [Eviction(id)], 0)
    assert raw(cache, id) == b"T|7"
    keep(cache, id, 7)
    assert cache.read(id).version == 7


def test_an_event_without_a_version_leaves_nothing_where_nothing_was(cache: FencedCache, id: str) -> None:
    cache.apply(2, -1, 0, [Eviction(id)], 0)
    assert raw(cache, id) is None


@pytest.mark.parametrize(("version", "left"), [(5, b"T|5"), (9, b"T|9"), (None, None)])
def test_every_event_evicts_an_absence_even_an_older_one(
    cache: FencedCache, id: str, version: int | None, left: bytes | None
) -> None:
    # The row got version 5, the origin was asked at 7 and did not see it yet, then it was committed.
    keep(cache, id, 7, None)
    cache.apply(2, -1, 0, [Eviction(id, version)], 0)
    assert raw(cache, id) == left
    keep(cache, id, 9)
    assert cache.read(id).version == 9


def test_a_value_replaces_an_absence_with_a_later_clock(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7, None)
    keep(cache, id, 5)
    assert cache.read(id).value == PAYLOAD


def test_an_absence_that_is_older_than_a_value_or_a_floor_stays_out(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    keep(cache, id, 6, None)
    assert cache.read(id).value == PAYLOAD
    cache.apply(2, -1, 0, [Eviction(id, 8)], 0)
    keep(cache, id, 7, None)
    assert cache.read(id) == MISS


TOP = MAX_VERSION


@pytest.mark.parametrize(
    ("there", "comes"), [(TOP - 1, TOP), (1_795_000_000_000_000, 1_795_000_000_000_001), (9, 10), (0, 1)]
)
def test_versions_one_apart_are_told_apart(cache: FencedCache, id: str, there: int, comes: int) -> None:
    keep(cache, id, comes)
    keep(cache, id, there)
    assert cache.read(id).version == comes
    cache.apply(2, -1, 0, [Eviction(id, there)], 0)
    assert cache.read(id).version == comes
    cache.apply(2, 0, 1, [Eviction(id, comes)], 0)
    assert cache.read(id).version == comes

    other = id_at(cache, 2, 1)
    keep(cache, other, there)
    cache.apply(2, 1, 2, [Eviction(other, comes)], 0)
    assert raw(cache, other) == b"T|%d" % comes
    keep(cache, other, there)
    assert cache.read(other) == MISS
    cache.apply(2, 2, 3, [Eviction(other, there)], 0)
    assert raw(cache, other) == b"T|%d" % comes


@pytest.mark.parametrize("version", [-1, TOP + 1])
def test_versions_that_lua_could_not_compare_are_refused(cache: FencedCache, id: str, version: int) -> None:
    lease = cache.lease(id)
    assert lease is not None
    with pytest.raises(ValueError, match="between 0 and"):
        cache.fill(lease, version, PAYLOAD, NOW_MS)
    with pytest.raises(ValueError, match="between 0 and"):
        cache.apply(2, -1, 0, [Eviction(id, version)], 0)
    assert cache.watermark(2) is None


def test_a_batch_applies_only_after_its_predecessor(cache: FencedCache, id: str) -> None:
    keep(cache, id, 7)
    first = cache.apply(2, 9, 12, (), 0)
    assert isinstance(first, Applied)
    assert first.new_epoch
    for previous_offset in (9, 11, 13, -1):
        assert cache.apply(2, previous_offset, previous_offset + 5, [Eviction(id, 8)], NOW_MS) == OutOfStep(12)
    assert cache.read(id).version == 7
    assert cache.watermark(2) == Watermark(first.epoch.encode(), 12, 0)
    second = cache.apply(2, 12, 12, (), 0)
    assert second == Applied(first.epoch, new_epoch=False)


def test_a_lost_watermark_begins_a_new_epoch_with_the_batch(cache: FencedCache, id: str) -> None:
    cache.apply(2, -1, 0, (), NOW_MS)
    old = _epoch(cache)
    cache.scripts.redis.delete(cache.keys.watermark(2))
    applied = cache.apply(2, 4, 5, [Eviction(id, 8)], 0)
    assert isinstance(applied, Applied)
    assert applied.new_epoch
    assert cache.watermark(2) == Watermark(applied.epoch.encode(), 5, 0)
    assert applied.epoch.encode() != old
    assert raw(cache, id) == b"T|8"


def test_what_cannot_be_read_as_a_watermark_is_replaced(cache: FencedCache, id: str) -> None:
    cache.scripts.redis.set(cache.keys.watermark(2), b"nonsense")
    keep(cache, id, 7)
    assert cache.read(id).state is State.HIT
    assert cache.begin_epoch(2, 4, instead_of=None)
    assert isinstance(cache.apply(2, 4, 5, (), 0), Applied)


def test_a_new_epoch_takes_the_place_of_one_watermark_only(cache: FencedCache) -> None:
    assert cache.begin_epoch(2, 4, instead_of=None)
    assert not cache.begin_epoch(2, 5, instead_of=None)
    seen = cache.watermark(2)
    assert seen is not None
    cache.apply(2, 4, 6, (), NOW_MS)
    assert not cache.begin_epoch(2, 5, instead_of=seen)
    moved = cache.watermark(2)
    assert moved is not None
    assert cache.begin_epoch(2, 6, instead_of=moved)
    assert cache.watermark(2) == Watermark(_epoch(cache), 6, 0)
    assert _epoch(cache) != moved.epoch
    # The same offset, but in another epoch.
    assert not cache.begin_epoch(2, 6, instead_of=moved)


def test_evictions_elsewhere_move_no_watermark(cache: FencedCache) -> None:
    ids = [id_at(cache, partition, number) for partition in range(6) for number in range(3)]
    for id in ids:
        keep(cache, id, 7)
    cache.evict([Eviction(id, 8) for id in ids[::2]] + [Eviction(id) for id in ids[1::2]])
    assert [raw(cache, id) for id in ids] == [b"T|8", b"T|7"] * 9
    assert [cache.watermark(partition) for partition in range(6)] == [None] * 6


def test_every_id_with_an_entry_is_listed(cache: FencedCache) -> None:
    ids = {id_at(cache, partition, number) for partition in range(6) for number in range(5)}
    for id in ids:
        keep(cache, id, 7)
    assert set(cache.ids()) == ids


def test_what_is_no_entry_is_a_miss_and_is_filled_over(cache: FencedCache, id: str) -> None:
    cache.scripts.redis.set(cache.keys.entry(id, 2), b"\x80\x04pickle")
    assert cache.read(id) == MISS
    keep(cache, id, 7)
    assert cache.read(id).version == 7


def test_a_server_that_is_away_is_unavailable(clock: FakeClock) -> None:
    with caches_at(f"redis://127.0.0.1:{free_port()}/0"):
        cache = new_cache(clock)
        for call in (
            lambda: cache.read("x"),
            lambda: cache.lease("x"),
            lambda: cache.evict([Eviction("x")]),
            lambda: cache.apply(0, -1, 0, (), 0),
            lambda: cache.watermark(0),
            lambda: list(cache.ids()),
        ):
            with pytest.raises(UnavailableError, match="Redis: "):
                call()


def test_another_kind_of_cache_is_a_misconfiguration(clock: FakeClock, settings: object) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}  # type: ignore[attr-defined]
    with pytest.raises(ConfigurationError, match=r'CACHES\["default"\]\["BACKEND"\] should be'):
        new_cache(clock).read("x")
    with pytest.raises(ConfigurationError, match=r'CACHES\["none"\]'):
        FencedCache("none").read("x")


def _epoch(cache: FencedCache) -> bytes:
    watermark = cache.watermark(2)
    assert watermark is not None
    return watermark.epoch
