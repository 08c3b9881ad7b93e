"""Whoever has the truth, and is asked where the cache can't answer."""

from dataclasses import dataclass
from typing import Protocol

from event_stream.clock import Clock
from event_stream.errors import EventStreamError


class FetchFailed(EventStreamError):  # noqa: N818 - what happened, not what to do about it
    """The origin gave no answer: away, too slow, too busy, or in error."""


class Budget:
    """The time that is left for a whole lookup, however many tries are made within it."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._end_s = clock.monotonic_s() + seconds

    def remaining_s(self) -> float:
        """Never below 0."""
        return max(0.0, self._end_s - self._clock.monotonic_s())


@dataclass(frozen=True, slots=True)
class Fetched:
    """`value` is None where there is nothing under the id; `version` is then a clock of the origin's."""

    version: int
    value: bytes | None


class Fetch(Protocol):
    """Asks the origin, within a budget."""

    def __call__(self, id: str, budget: Budget, /) -> Fetched:
        """What the origin has now. Raises FetchFailed, at the latest when the budget is spent."""
