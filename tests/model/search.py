"""Breadth-first search of every state that a system can reach, for any system whose states are hashable values.

Breadth first, so that the first violation found is one of the shortest there are. A search that was not finished proves
nothing, and so it raises.
"""

import os
import time
from array import array
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeAlias, TypeVar

S = TypeVar("S", bound=Hashable)
Steps: TypeAlias = Iterable[tuple[str, S]]
Progress: TypeAlias = Callable[[int, int], None]
"""Told the number of states found and of those looked at, from time to time."""

MOST_STATES = int(os.environ.get("MODEL_STATES", "70000"))
"""A test whose search has more is skipped: few are left with `./manage_scripts/test --unit`, all with --deep."""

STUCK = "stuck: the goal cannot be reached any more"
PROGRESS_EVERY_STATES = 20_000


class UnfinishedSearchError(Exception):
    """There are more states than the limit allows."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[S]):
    """`violation` says what is wrong with the last state of `trace`; None if nothing is wrong with any.

    `trace` is the way there from the initial state: [(label of a step, the state it leads to)].
    """

    states: int
    transitions: int
    seconds: float
    violation: str | None = None
    trace: Sequence[tuple[str, S]] = ()

    def size(self) -> str:
        return f"{self.states:,} states, {self.transitions:,} transitions, {self.seconds:.1f} s"


def search(
    initial: S,
    steps: Callable[[S], Steps[S]],
    wrong: Callable[[S], str | None],
    *,
    goal: Callable[[S], bool] | None = None,
    limit: int = 2_000_000,
    progress: Progress = lambda found, seen: None,
) -> Outcome[S]:
    """Visit every state that `steps` (label, next state) reach from `initial`, until `wrong` has something to say.

    With a `goal`, also show that it stays reachable from every one of them (AG EF goal): a state from which it is not
    is a violation too. Raises UnfinishedSearchError beyond `limit` states.
    """
    started = time.monotonic()
    numbers: dict[S, int] = {initial: 0}
    states: list[S] = [initial]
    parents = array("l", [-1])
    targets, ends = array("l"), array("l")  # all steps, those of state n end at ends[n]; kept only for a goal
    transitions = 0

    def outcome(violation: str | None = None, at: int = 0) -> Outcome[S]:
        trace = _trace(states, parents, steps, at) if violation else ()
        return Outcome(len(states), transitions, time.monotonic() - started, violation, trace)

    if problem := wrong(initial):
        return outcome(problem)
    for here, state in enumerate(states):  # grows while it is walked: it is the queue as well
        for _, successor in steps(state):
            transitions += 1
            number = numbers.setdefault(successor, len(states))
            if number == len(states):
                states.append(successor)
                parents.append(here)
                if problem := wrong(successor):
                    return outcome(problem, number)
            if goal is not None:
                targets.append(number)
        if goal is not None:
            ends.append(len(targets))
        if here % PROGRESS_EVERY_STATES == 0:
            progress(len(states), here)
        if len(states) > limit:
            raise UnfinishedSearchError(f"more than {limit:,} states; {here:,} of them looked at")
    if goal is not None:
        stuck = _first_without_way_to([n for n, state in enumerate(states) if goal(state)], targets, ends)
        if stuck is not None:
            return outcome(STUCK, stuck)
    return outcome()


def _trace(
    states: Sequence[S], parents: "array[int]", steps: Callable[[S], Steps[S]], at: int
) -> Sequence[tuple[str, S]]:
    """The way to state `at`. The labels are made again here, and not kept for millions of states."""
    trace: list[tuple[str, S]] = []
    while (parent := parents[at]) >= 0:
        label = next(label for label, successor in steps(states[parent]) if successor == states[at])
        trace.append((label, states[at]))
        at = parent
    return tuple(reversed(trace))


def _first_without_way_to(goals: Sequence[int], targets: "array[int]", ends: "array[int]") -> int | None:
    """The first state from which none of `goals` can be reached, if there is one: found by walking steps backwards."""
    sources: list[list[int]] = [[] for _ in ends]
    begin = 0
    for source, end in enumerate(ends):
        for target in targets[begin:end]:
            sources[target].append(source)
        begin = end
    reaches = bytearray(len(ends))
    for goal in goals:
        reaches[goal] = 1
    queue = list(goals)
    for state in queue:
        for source in sources[state]:
            if not reaches[source]:
                reaches[source] = 1
                queue.append(source)
    stuck = reaches.find(0)
    return None if stuck < 0 else stuck
