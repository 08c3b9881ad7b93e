"""An oracle that can't say no says nothing: each thing that must not be is made up here, and found."""

from dataclasses import replace

import pytest

from tests.consistency.history import Read, Write
from tests.faults.oracle import Commit, Evidence, Final, Logged, Verdict, judge

A, B = "a", "b"


def hit(version: int, began_s: float, fresh_at_s: float) -> Read:
    return Read(A, version, began_s, began_s + 0.01, fresh_at_s, "hit")


GOOD = Evidence(
    commits=[Commit(A, 1, 0.1), Commit(A, 2, 10.1), Commit(A, 3, 20.1), Commit(B, 1, 0.1)],
    log=[Logged(A, 1, 0, 0), Logged(B, 1, 1, 0), Logged(A, 2, 0, 1), Logged(A, 3, 0, 2)],
    marks=[Logged(A, 1, 0, 0), Logged(B, 1, 1, 0), Logged(A, 2, 0, 1), Logged(A, 3, 0, 2)],
    # The third was committed, and its client was not told.
    writes=[Write(A, 1, 0.0, 0.2), Write(A, 2, 10.0, 10.2), Write(B, 1, 0.0, 0.2)],
    reads=[hit(1, 5.0, 5.0), hit(2, 15.0, 15.0), hit(3, 20.2, 20.2), hit(2, 20.3, 20.3)],
    finals=[Final(A, 0, 3, 3), Final(A, 1, 3, 3), Final(B, 0, 1, 1), Final(B, 1, 1, 1)],
    max_staleness_s=1.0,
)


def test_a_good_run_is_good() -> None:
    assert judge(GOOD) == Verdict(changes=4, events=4, duplicates=0, reads=4)


def test_sent_again_after_a_crash_is_twice_and_no_harm() -> None:
    again = [*GOOD.log, Logged(A, 2, 0, 3), Logged(A, 3, 0, 4)]
    verdict = judge(replace(GOOD, log=again))
    assert (verdict.events, verdict.duplicates, verdict.wrong) == (6, 2, [])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"log": GOOD.log[:-1], "marks": GOOD.marks[:-1]}, {"lost": 1}),
        ({"log": [*GOOD.log, Logged(A, 4, 0, 3)]}, {"disorder": 1}),
        ({"log": [*GOOD.log, Logged(A, 2, 0, 3)]}, {"disorder": 1}),
        (
            {"log": [Logged(A, 2, 0, 0), Logged(A, 1, 0, 1), GOOD.log[1], GOOD.log[3]], "marks": []},
            {"disorder": 2},
        ),
        ({"log": [*GOOD.log[:-1], Logged(A, 3, 1, 2)], "marks": GOOD.marks[:-1]}, {"disorder": 1}),
        ({"marks": [*GOOD.marks, Logged(A, 3, 0, 7)]}, {"disorder": 1}),
        ({"reads": [hit(1, 12.0, 10.1)]}, {"wrong_reads": 1}),
        ({"reads": [hit(1, 11.0, 10.9)]}, {"wrong_reads": 1}),
        ({"reads": [hit(9, 5.0, 5.0)]}, {"wrong_reads": 1}),
        ({"finals": [*GOOD.finals, Final(A, 1, 2, 3)]}, {"stale": 1}),
    ],
    ids=[
        "a lost event",
        "an event of nothing",
        "an old version last",
        "a newer version first",
        "two partitions for one organization",
        "a row that names a place where nothing lies",
        "a read beyond the bound",
        "a read with a false claim",
        "a read of what never was",
        "stale at one instance when all is quiet",
    ],
)
def test_each_thing_that_must_not_be_is_found(change: dict[str, object], found: dict[str, int]) -> None:
    verdict = judge(replace(GOOD, **change))  # type: ignore[arg-type]
    wrong = {name: len(getattr(verdict, name)) for name in ("lost", "disorder", "wrong_reads", "stale")}
    assert {name: count for name, count in wrong.items() if count} == found


@pytest.mark.parametrize(
    ("change", "unchecked"),
    [
        ({"reads": []}, ["no read was answered"]),
        ({"finals": GOOD.finals[:-1]}, ["b was not asked for when all was quiet, at instances [1]"]),
        ({"commits": [], "log": [], "marks": [], "finals": [], "reads": GOOD.reads[:2]}, ["no version was committed"]),
    ],
    ids=["no read", "an instance that was not asked", "no change"],
)
def test_a_run_of_which_nothing_was_seen_is_not_good(change: dict[str, object], unchecked: list[str]) -> None:
    verdict = judge(replace(GOOD, **change))  # type: ignore[arg-type]
    assert (verdict.wrong, verdict.unchecked) == ([], unchecked)
