"""The consistency meter: which reads it counts as what, and what its counts prove."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest

from event_stream.consumer.handler import Batch
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import CacheStatus, FetchFailed, Found
from event_stream.fenced_cache.cache import FencedCache
from event_stream.fenced_cache.entry import Change
from event_stream.messaging.message import ConsumerRecord
from event_stream.operations.consistency import ConsistencyMeter, ConsistencyRow
from tests.event_stream.cache_world import NOW_MS, FakeClock

ID = "4d10ec24-141a-4980-be34-2ddb5e0458c7"


def decode(record: ConsumerRecord) -> Change:
    value = json.loads(record.value or b"{}")
    return Change(ID, value["version"], occurred_at_ms=value["at_ms"])


class Reads:
    """What lookups find, one after another; the last one again and again."""

    def __init__(self, *versions: int, source: CacheStatus = CacheStatus.HIT) -> None:
        self._versions = list(versions)
        self._source = source

    def __call__(self, id: str) -> Found:
        version = self._versions.pop(0) if len(self._versions) > 1 else self._versions[0]
        return Found(b"value", version, NOW_MS, self._source)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def meter_of(clock: FakeClock) -> Callable[..., ConsistencyMeter]:
    def make(find: Callable[[str], Found], per_s: float = 1_000) -> ConsistencyMeter:
        return ConsistencyMeter(cast(FencedCache, SimpleNamespace(clock=clock, read=None)), decode, find, per_s=per_s)

    return make


def hear(meter: ConsistencyMeter, clock: FakeClock, *versions: int) -> None:
    records = [
        ConsumerRecord(
            "t", 0, number, None, json.dumps({"version": version, "at_ms": clock.now_ms()}).encode(), (), clock.now_ms()
        )
        for number, version in enumerate(versions)
    ]
    meter.audit.handle(Batch(0, -1, records))


def measured(meter: ConsistencyMeter, clock: FakeClock, *advances_s: float) -> dict[str, float]:
    meter.audit.check_due()
    for seconds in advances_s:
        clock.advance(seconds)
        meter.audit.check_due()
    return dict(meter.samples())


def test_a_read_of_the_new_version_is_consistent_at_each_time(
    meter_of: Callable[..., ConsistencyMeter], clock: FakeClock
) -> None:
    meter = meter_of(Reads(5))
    hear(meter, clock, 5)
    assert measured(meter, clock, 1, 4, 25, 30) == {f"consistency.checked.{after}": 1 for after in (0, 1, 5, 30, 60)}
    assert meter.samples() == {}, "each is counted once"


def test_a_read_of_an_older_version_is_stale_for_as_long_as_it_was(
    meter_of: Callable[..., ConsistencyMeter], clock: FakeClock
) -> None:
    meter = meter_of(Reads(4, 4, 5))
    hear(meter, clock, 5)
    found = measured(meter, clock, 1, 4)
    assert found == {
        "consistency.checked.0": 1,
        "consistency.stale.0": 1,
        "consistency.checked.1": 1,
        "consistency.stale.1": 1,
        "consistency.checked.5": 1,
        "consistency.staleness.0.1": 1,
        "consistency.staleness.1": 1,
    }


def test_a_read_that_comes_too_late_says_nothing_unless_it_is_stale(
    meter_of: Callable[..., ConsistencyMeter], clock: FakeClock
) -> None:
    punctual = meter_of(Reads(5))
    hear(punctual, clock, 5)
    assert measured(punctual, clock, 3) == {"consistency.checked.0": 1, "consistency.late.1": 1}
    stale = meter_of(Reads(4))
    hear(stale, clock, 5)
    assert measured(stale, clock, 3)["consistency.stale.1"] == 1


def test_an_answer_that_is_marked_as_stale_breaks_no_promise(
    meter_of: Callable[..., ConsistencyMeter], clock: FakeClock
) -> None:
    meter = meter_of(Reads(4, source=CacheStatus.STALE))
    hear(meter, clock, 5)
    assert measured(meter, clock) == {"consistency.checked.0": 1}


def test_a_lookup_that_fails_is_made_again(meter_of: Callable[..., ConsistencyMeter], clock: FakeClock) -> None:
    answers: Iterator[Exception | Found] = iter([FetchFailed("away"), Found(b"v", 5, NOW_MS, CacheStatus.MISS)])

    def find(id: str) -> Found:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    meter = meter_of(find)
    hear(meter, clock, 5)
    with pytest.raises(UnavailableError):
        meter.audit.check_due()
    assert measured(meter, clock) == {"consistency.checked.0": 1}


def test_no_more_changes_are_sampled_than_may_be(meter_of: Callable[..., ConsistencyMeter], clock: FakeClock) -> None:
    meter = meter_of(Reads(9), per_s=2)
    hear(meter, clock, 1, 2, 3)
    clock.advance(0.5)
    hear(meter, clock, 4, 5)
    assert measured(meter, clock)["consistency.checked.0"] == 2


@pytest.mark.parametrize(
    ("checked", "stale", "nines"),
    [(0, 0, 0), (1, 0, 0), (28, 0, 0), (30, 0, 1), (29_000, 0, 3), (30_000, 0, 4), (3_000_000, 0, 6), (30_000, 1, 3)],
)
def test_the_nines_are_those_that_the_sample_proves(checked: int, stale: int, nines: int) -> None:
    row = ConsistencyRow(1, checked, stale, 0)
    assert row.nines == nines
    if checked > 100 and not stale:
        assert row.stale_at_most == pytest.approx(3 / checked, rel=0.01), "the rule of three"


def test_many_stale_reads_are_judged_without_summing_each() -> None:
    row = ConsistencyRow(1, 2_000_000, 20_000, 0)
    assert row.consistent_percent == pytest.approx(99)
    assert 0.01 < row.stale_at_most < 0.0102
    assert row.nines == 1
    everything = ConsistencyRow(1, 5_000, 5_000, 0)
    assert (everything.stale_at_most, everything.nines) == (1.0, 0)
