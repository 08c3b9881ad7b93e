"""Two versions of a service on the same keys: neither is given values of the other's shape."""

from dataclasses import replace

import pytest

from event_stream.errors import ConfigurationError
from event_stream.fenced_cache import (
    CacheStatus,
    Deadline,
    Eviction,
    FencedCache,
    Fetched,
    FetchFailed,
    FillOutcome,
    ReadThrough,
    State,
)
from event_stream.fenced_cache.audit import Verdict, sweep
from event_stream.fenced_cache.cache import MISS
from event_stream.fenced_cache.entry import parse_entry
from event_stream.fenced_cache.explain import explain
from tests.event_stream.cache_world import NOW_MS, FakeClock, id_at, keep, new_cache, raw

OLD_SHAPE = b'"name":"NASA"'
NEW_SHAPE = b'"name":"NASA","country":"US"'


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def plain(clock: FakeClock) -> FencedCache:
    """A service of the time before there were representations."""
    return new_cache(clock)


def beside(cache: FencedCache, representation: bytes) -> FencedCache:
    """Another process on the same keys."""
    return FencedCache(
        namespace=cache.keys.namespace, settings=cache.settings, clock=cache.clock, representation=representation
    )


@pytest.fixture
def old(plain: FencedCache) -> FencedCache:
    return beside(plain, b"v1")


@pytest.fixture
def new(plain: FencedCache) -> FencedCache:
    return beside(plain, b"v2")


@pytest.fixture
def id(plain: FencedCache) -> str:
    return id_at(plain, 2)


def test_each_reads_only_its_own(plain: FencedCache, old: FencedCache, new: FencedCache, id: str) -> None:
    for writer, value in ((old, OLD_SHAPE), (new, NEW_SHAPE), (plain, b"of no known shape")):
        keep(writer, id, 7, value)
        for reader in (plain, old, new):
            assert reader.read(id).value == (value if reader is writer else None)
            assert (reader.read(id) == MISS) is (reader is not writer)


def test_a_known_absence_has_no_shape(plain: FencedCache, old: FencedCache, new: FencedCache, id: str) -> None:
    keep(old, id, 7, None)
    assert raw(old, id) == f"A|7||{NOW_MS}|".encode()
    assert [(each.read(id).state, each.read(id).version) for each in (plain, new)] == [(State.HIT, 7)] * 2


def test_the_format_without_a_representation_is_what_it_was(plain: FencedCache, id: str) -> None:
    keep(plain, id, 7, OLD_SHAPE)
    assert raw(plain, id) == f"V|7||{NOW_MS}|".encode() + OLD_SHAPE


def test_a_reader_from_before_finds_no_number_and_takes_it_for_a_miss(new: FencedCache, id: str) -> None:
    keep(new, id, 7, NEW_SHAPE)
    entry = raw(new, id)
    assert entry == f"V|7||{NOW_MS}~v2|".encode() + NEW_SHAPE
    with pytest.raises(ValueError, match="invalid literal"):
        # What parse_entry did with the field before there were representations.
        int(entry.split(b"|", 4)[3])


def test_an_eviction_reaches_both(old: FencedCache, new: FencedCache, id: str) -> None:
    for writer, evicter in ((old, new), (new, old)):
        keep(writer, id, 7, OLD_SHAPE)
        evicter.evict([Eviction(id, 7)])
        assert writer.read(id).state is State.HIT
        evicter.evict([Eviction(id, 8)])
        assert [writer.read(id), evicter.read(id)] == [MISS, MISS]
        assert raw(writer, id) == b"T|8"
        evicter.evict([Eviction(id)])
        for key in writer.scripts.redis.scan_iter(match=f"*{writer.keys.namespace}:{id}"):
            writer.scripts.redis.delete(key)


def test_a_batch_of_the_log_reaches_both(old: FencedCache, new: FencedCache, id: str) -> None:
    keep(old, id, 7, OLD_SHAPE)
    new.apply(2, -1, 0, [Eviction(id, 9)], NOW_MS)
    assert old.read(id) == MISS
    assert raw(old, id) == b"T|9"


def test_versions_are_compared_across_representations(old: FencedCache, new: FencedCache, id: str) -> None:
    keep(old, id, 7, OLD_SHAPE)
    lease = new.lease(id)
    assert lease is not None
    assert new.fill(lease, 6, NEW_SHAPE, NOW_MS) is FillOutcome.OLDER
    assert old.read(id).value == OLD_SHAPE


def test_lookups_of_both_refill_by_turns_and_each_gets_its_own(old: FencedCache, new: FencedCache, id: str) -> None:
    asked = []

    def lookup(cache: FencedCache, value: bytes) -> ReadThrough:
        def fetch(id: str, budget: Deadline) -> Fetched:
            asked.append(value)
            return Fetched(7, value)

        return ReadThrough(cache, fetch)

    lookups = {OLD_SHAPE: lookup(old, OLD_SHAPE), NEW_SHAPE: lookup(new, NEW_SHAPE)}
    for shape in (OLD_SHAPE, NEW_SHAPE, OLD_SHAPE):
        found = [lookups[shape].find(id) for _ in range(2)]
        assert [each.value for each in found] == [shape] * 2
        assert [each.source for each in found] == [CacheStatus.MISS, CacheStatus.HIT]
    assert asked == [OLD_SHAPE, NEW_SHAPE, OLD_SHAPE]


def test_the_others_shape_is_not_served_while_the_origin_is_away(
    old: FencedCache, new: FencedCache, id: str, clock: FakeClock
) -> None:
    def away(id: str, budget: Deadline) -> Fetched:
        raise FetchFailed("away")

    keep(old, id, 7, OLD_SHAPE)
    for _ in range(2):
        with pytest.raises(FetchFailed):
            ReadThrough(new, away).find(id)
        clock.advance(60)
    assert ReadThrough(old, away).find(id).source is CacheStatus.STALE


def test_it_is_explained(old: FencedCache, new: FencedCache, id: str) -> None:
    keep(old, id, 7, OLD_SHAPE)
    assert "representation" not in "\n".join(explain(old, id).lines())
    text = "\n".join(explain(new, id).lines())
    assert f"a value of {len(OLD_SHAPE)} bytes, version 7" in text
    assert "its representation is v1, and this version of the service reads v2" in text
    assert ": a miss, because the representations differ" in text


def test_a_sweep_judges_what_its_own_version_serves(old: FencedCache, new: FencedCache, id: str) -> None:
    def fetch(id: str, budget: Deadline) -> Fetched:
        return Fetched(7, NEW_SHAPE)

    keep(old, id, 7, OLD_SHAPE)
    assert list(sweep(new, fetch, [id], wait=lambda _: None)) == []
    keep(new, id, 7, NEW_SHAPE)
    assert [each.verdict for each in sweep(new, fetch, [id], wait=lambda _: None)] == [Verdict.CURRENT]


@pytest.mark.parametrize("name", [b"a|b", b"a~b", b"a b", "ü".encode(), b"x" * 65, b"v1\n"])
def test_a_name_that_would_break_the_entry_is_refused(plain: FencedCache, name: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"representation is .* should be"):
        beside(plain, name)


def test_the_representation_is_a_part_of_the_value() -> None:
    value = parse_entry(b"V|7|ep|1000~v2|{}")
    assert value == parse_entry(b"V|7|ep|1000~v2|{}")
    assert value != parse_entry(b"V|7|ep|1000|{}")
    assert replace(value, representation=b"") == parse_entry(b"V|7|ep|1000|{}")  # type: ignore[type-var]
