"""The transitions by themselves: what a caller of `protocol` may rely on."""

from itertools import permutations, product

import pytest

from tests.model.protocol import (
    NEVER,
    Applied,
    Cache,
    Filled,
    Floor,
    Lease,
    Value,
    Watermark,
    apply,
    begin_epoch,
    fill,
    fresh_at,
    is_fresh,
    lease,
)

WATERMARK = Watermark("e1", 4, 100)
ENTRIES: list[Value | Floor | None] = [None, Floor(2), Value(2, "e1", 90), Value(2, "e0", 90)]
EVENTS: list[int | None] = [None, 1, 2, 3]


def after(cache: Cache, *events: int | None, as_of: int = NEVER) -> Cache:
    cache, applied = apply(cache, prev=4, last=4 + len(events), events=events, as_of=as_of, new_epoch="e2")
    assert applied is Applied.OK
    return cache


@pytest.mark.parametrize(
    ("entry", "event", "left"),
    [
        (None, 3, Floor(3)),
        (Floor(2), 3, Floor(3)),
        (Floor(2), 1, Floor(2)),
        (Value(2, "e1", 90), 3, Floor(3)),
        (Value(2, "e1", 90), 2, Value(2, "e1", 90)),
        (Value(2, "e1", 90), None, Floor(2)),
        (Floor(2), None, Floor(2)),
        (None, None, None),
    ],
)
def test_what_an_event_leaves(entry: Value | Floor | None, event: int | None, left: Value | Floor | None) -> None:
    assert after(Cache(entry, Lease("t", "e1"), WATERMARK), event) == Cache(left, None, Watermark("e1", 5, 100))


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_batch_is_its_events_one_by_one_in_any_order(entry: Value | Floor | None) -> None:
    for events in product(EVENTS, repeat=3):
        at_once = after(Cache(entry, None, WATERMARK), *events)
        one_by_one = Cache(entry, None, WATERMARK)
        for offset, event in enumerate(events, 5):
            one_by_one, _ = apply(one_by_one, prev=offset - 1, last=offset, events=[event], new_epoch="e2")
        assert at_once == one_by_one
        assert {after(Cache(entry, None, WATERMARK), *order) for order in permutations(events)} == {at_once}


def test_a_heartbeat_moves_the_time_forward_only_and_leaves_the_rest() -> None:
    cache = Cache(Value(2, "e1", 90), Lease("t", "e1"), WATERMARK)
    assert after(cache, as_of=120) == cache._replace(watermark=Watermark("e1", 4, 120))
    assert after(cache, as_of=80) == cache


def test_a_batch_out_of_its_place_changes_nothing() -> None:
    cache = Cache(Value(2, "e1", 90), Lease("t", "e1"), WATERMARK)
    for prev in (3, 5):
        assert apply(cache, prev=prev, last=prev + 1, events=[3], as_of=200, new_epoch="e2") == (cache, Applied.SEEK)


def test_without_watermark_a_new_epoch_begins_and_the_batch_is_not_applied() -> None:
    cache = Cache(Value(2, "e1", 90), Lease("t", "e1"), None)
    begun = cache._replace(watermark=Watermark("e2", 7, NEVER))
    assert apply(cache, prev=7, last=8, events=[3], as_of=200, new_epoch="e2") == (begun, Applied.NEW)
    assert not is_fresh(begun)


def test_a_lease_is_granted_once_with_the_epoch_of_its_moment() -> None:
    held, granted = lease(Cache(None, None, WATERMARK), "t")
    assert (held, granted) == (Cache(None, Lease("t", "e1"), WATERMARK), True)
    assert lease(held, "other") == (held, False)
    assert lease(Cache(), "t") == (Cache(None, Lease("t", None), None), True)


def test_a_fill_takes_the_epoch_of_its_lease_and_uses_it_up() -> None:
    held, _ = lease(Cache(Floor(2), None, WATERMARK), "t")
    held = begin_epoch(held, 9, "e2")
    assert fill(held, "t", 2, 95) == (Cache(Value(2, "e1", 95), None, Watermark("e2", 9, NEVER)), Filled.FILLED)


def test_a_fill_older_than_what_is_there_is_refused_and_uses_the_lease_up() -> None:
    for entry in (Floor(3), Value(3, "e1", 90)):
        cache = Cache(entry, Lease("t", "e1"), WATERMARK)
        assert fill(cache, "t", 2, 95) == (cache._replace(lease=None), Filled.OLDER)


def test_a_fill_without_the_lease_changes_nothing() -> None:
    for held in (None, Lease("other", "e1")):
        cache = Cache(None, held, WATERMARK)
        assert fill(cache, "t", 2, 95) == (cache, Filled.NOT_HOLDER)


@pytest.mark.parametrize(
    ("cache", "time", "carried"),
    [
        (Cache(Value(2, "e1", 90), None, WATERMARK), 100, True),
        (Cache(Value(2, "e1", 110), None, WATERMARK), 110, True),
        (Cache(Value(2, "e0", 90), None, WATERMARK), 90, False),
        (Cache(Value(2, None, 90), None, WATERMARK), 90, False),
        (Cache(Value(2, None, 90), None, None), 90, False),
        (Cache(Floor(2), None, WATERMARK), None, False),
        (Cache(None, None, WATERMARK), None, False),
    ],
)
def test_how_fresh_a_value_is_proven_to_be(cache: Cache, time: int | None, carried: bool) -> None:
    assert (fresh_at(cache), is_fresh(cache)) == (time, carried)
