"""The search itself, on counters: it finds the shortest way, all there is, and what has no way out."""

from collections.abc import Iterator

import pytest

from tests.model.search import STUCK, UnfinishedSearchError, search

TOP = 10


def counting(number: int) -> Iterator[tuple[str, int]]:
    """From 0 to TOP by one or by three, and back to 0 from TOP alone."""
    if number + 1 <= TOP:
        yield "one", number + 1
    if number + 3 <= TOP:
        yield "three", number + 3
    if number == TOP:
        yield "back", 0


def trapped(number: int) -> Iterator[tuple[str, int]]:
    """As above, and into a state that leads nowhere."""
    if number >= 0:
        yield from counting(number)
    if number == TOP - 1:
        yield "trap", -1


def nothing(_: int) -> str | None:
    return None


def test_every_state_and_every_step_is_seen() -> None:
    outcome = search(0, counting, nothing)
    assert (outcome.states, outcome.transitions, outcome.violation) == (11, 10 + 8 + 1, None)


def test_the_shortest_way_to_a_violation_is_given() -> None:
    outcome = search(0, counting, lambda number: "seven" if number == 7 else None)
    assert outcome.violation == "seven"
    assert [number for _, number in outcome.trace][-1] == 7
    assert sorted(label for label, _ in outcome.trace) == ["one", "three", "three"]


def test_an_initial_state_may_be_the_violation() -> None:
    outcome = search(0, counting, lambda _: "at once")
    assert (outcome.violation, outcome.trace) == ("at once", ())


def test_the_goal_can_be_reached_again_from_everywhere() -> None:
    assert search(0, counting, nothing, goal=lambda number: number == 2).violation is None


def test_a_state_without_way_to_the_goal_is_found() -> None:
    outcome = search(0, trapped, nothing, goal=lambda number: number == TOP)
    assert outcome.violation == STUCK
    assert outcome.trace[-1] == ("trap", -1)


def test_a_goal_that_nothing_reaches_is_found_at_the_start() -> None:
    outcome = search(0, counting, nothing, goal=lambda number: number == TOP + 1)
    assert (outcome.violation, outcome.trace) == (STUCK, ())


def test_a_search_that_is_not_finished_proves_nothing() -> None:
    with pytest.raises(UnfinishedSearchError, match="more than 5 states"):
        search(0, counting, nothing, limit=5)
