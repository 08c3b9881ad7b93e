"""What the audit finds, on a real server: the protocol does not let a stale hit come about, so here one is planted."""

from collections.abc import Iterator

import pytest

from event_stream.consumer.handler import Batch
from event_stream.errors import ConversionError, UnavailableError
from event_stream.fenced_cache import Change, FencedCache, Fetched, FetchFailed, Heartbeat
from event_stream.fenced_cache.audit import ChangeAudit, Tally, Verdict, sweep
from event_stream.fenced_cache.read_through import Deadline
from event_stream.messaging.message import ConsumerRecord
from tests.event_stream.cache_world import NOW_MS, FakeClock, caches_at, keep, new_cache, raw

ID = "e254f8c-4e80"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(clock: FakeClock) -> FencedCache:
    return new_cache(clock)


def audit_of(cache: FencedCache, *told: Change | Heartbeat | ConversionError) -> ChangeAudit:
    """An audit that was handed these, one record each."""
    left: Iterator[Change | Heartbeat | ConversionError] = iter(told)

    def decode(record: ConsumerRecord) -> Change | Heartbeat | None:
        each = next(left)
        if isinstance(each, ConversionError):
            raise each
        return each

    audit = ChangeAudit(cache, decode)
    records = [ConsumerRecord("topic", 0, offset, None, b"", (), NOW_MS) for offset in range(len(told))]
    audit.handle(Batch(0, -1, records))
    return audit


def counts(audit: ChangeAudit) -> list[tuple[int, int]]:
    return [(tally.checked, tally.stale) for tally in audit.tallies]


def test_each_change_is_checked_when_its_time_has_come(cache: FencedCache, clock: FakeClock) -> None:
    keep(cache, ID, 2)
    audit = audit_of(cache, Change(ID, 2, occurred_at_ms=NOW_MS))
    seen = []
    for seconds in (0.5, 1.0, 4.0, 25.0, 30.0):
        clock.advance(seconds)
        audit.check_due()
        seen.append([checked for checked, _ in counts(audit)])
    assert seen == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert [tally.stale for tally in audit.tallies] == [0, 0, 0, 0]
    assert audit.waiting == 0


def test_a_stale_hit_is_found_and_timed(cache: FencedCache, clock: FakeClock) -> None:
    keep(cache, ID, 1)
    audit = audit_of(cache, Change(ID, 2, occurred_at_ms=NOW_MS))
    clock.advance(5.5)
    audit.check_due()
    assert counts(audit)[:2] == [(1, 1), (1, 1)]
    assert audit.tallies[1].greatest_staleness_s == 5.5
    # Past the maximum staleness it is not fresh: a lookup would ask again.
    clock.advance(25)
    audit.check_due()
    assert counts(audit)[2] == (1, 0)


def test_an_absence_that_a_creation_has_ended_is_stale(cache: FencedCache, clock: FakeClock) -> None:
    keep(cache, ID, 0, None)
    audit = audit_of(cache, Change(ID, 7, occurred_at_ms=NOW_MS))
    clock.advance(1)
    audit.check_due()
    assert counts(audit)[0] == (1, 1)


def test_checks_that_are_too_late_are_not_made(cache: FencedCache, clock: FakeClock) -> None:
    audit = audit_of(
        cache, Change(ID, 2, occurred_at_ms=NOW_MS - 10_000), Change(ID, 3, occurred_at_ms=NOW_MS - 1_000_000)
    )
    audit.check_due()
    assert counts(audit) == [(0, 0), (0, 0), (0, 0), (1, 0)]
    assert audit.waiting == 2


def test_what_can_not_be_checked_is_counted(cache: FencedCache) -> None:
    audit = audit_of(cache, Change(ID), Heartbeat(NOW_MS), ConversionError("no"))
    assert (audit.changes, audit.unversioned, audit.unreadable, audit.waiting) == (1, 1, 1, 0)


def test_a_check_that_redis_can_not_answer_is_made_later(clock: FakeClock) -> None:
    with caches_at("redis://127.0.0.1:1/0"):
        audit = audit_of(new_cache(clock), Change(ID, 2, occurred_at_ms=NOW_MS))
        clock.advance(1)
        with pytest.raises(UnavailableError):
            audit.check_due()
    assert audit.waiting == 4


@pytest.mark.parametrize(
    ("checked", "stale", "at_most"), [(0, 0, 1.0), (100, 0, 0.029513), (1000, 0, 0.0029912), (100, 3, 0.075714)]
)
def test_the_bound_is_clopper_and_pearsons(checked: int, stale: int, at_most: float) -> None:
    # Expected values: 1 - 0.05 ** (1 / n) for none stale; scipy.stats.beta.ppf(0.95, stale + 1, n - stale).
    tally = Tally(1.0)
    for number in range(checked):
        tally.add(stale_for_s=1.0 if number < stale else None)
    assert tally.stale_at_most == pytest.approx(at_most, rel=1e-3)
    assert tally.consistent_share == (None if not checked else pytest.approx(1 - stale / checked))


# Comparing every entry.


class Origin:
    """What it has; an id that it does not know at all is one about which it gives no answer."""

    def __init__(self, **has: Fetched) -> None:
        self.has = has

    def __call__(self, id: str, budget: Deadline, /) -> Fetched:
        if id not in self.has:
            raise FetchFailed("away")
        return self.has[id]


def verdicts(cache: FencedCache, origin: Origin, *, repair: bool = False) -> dict[str, Verdict]:
    waited: list[float] = []
    found = {each.id: each.verdict for each in sweep(cache, origin, cache.ids(), wait=waited.append, repair=repair)}
    assert waited in ([], [cache.settings.max_staleness_s])
    return found


def test_a_sweep_tells_what_each_entry_is_worth(cache: FencedCache, clock: FakeClock) -> None:
    keep(cache, "old", 1, b"1")
    clock.advance(60)
    for id, version, value in (
        ("same", 1, b"1"),
        ("behind", 1, b"1"),
        ("ahead", 9, b"9"),
        ("gone", 1, b"1"),
        ("there", 0, None),
        ("unknown", 1, b"1"),
    ):
        keep(cache, id, version, value, as_of_ms=clock.now_ms())
    origin = Origin(
        same=Fetched(1, b"1"),
        behind=Fetched(2, b"2"),
        ahead=Fetched(2, b"2"),
        gone=Fetched(0, None),
        there=Fetched(2, b"2"),
        old=Fetched(2, b"2"),
    )
    assert verdicts(cache, origin) == {
        "same": Verdict.CURRENT,
        "behind": Verdict.STALE,
        "ahead": Verdict.AHEAD,
        "gone": Verdict.STALE,
        "there": Verdict.STALE,
        "unknown": Verdict.UNKNOWN,
        "old": Verdict.UNVALIDATED,
    }
    assert raw(cache, "behind") is not None


def test_an_entry_that_is_evicted_meanwhile_was_catching_up(cache: FencedCache, clock: FakeClock) -> None:
    keep(cache, "moving", 1, b"1")
    origin = Origin(moving=Fetched(2, b"2"))

    def evicted_meanwhile(_seconds: float) -> None:
        keep(cache, "moving", 2, b"2", as_of_ms=clock.now_ms())

    [finding] = sweep(cache, origin, cache.ids(), wait=evicted_meanwhile)
    assert finding.verdict is Verdict.CURRENT


def test_a_repair_evicts_what_is_broken_and_nothing_else(cache: FencedCache) -> None:
    for id in ("behind", "ahead", "same"):
        keep(cache, id, 5, b"5")
    origin = Origin(same=Fetched(5, b"5"), behind=Fetched(6, b"6"), ahead=Fetched(2, b"2"))
    verdicts(cache, origin, repair=True)
    assert {id: (raw(cache, id) or b"")[:1] for id in ("behind", "ahead", "same")} == {
        "behind": b"T",
        "ahead": b"T",
        "same": b"V",
    }
