"""What goes into the cache's operations and what comes out of them."""

from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """What a reading is worth."""

    HIT = "hit"
    """A value, proven to have been current no longer ago than BOUND."""
    STALE = "stale"
    """A value that nothing vouches for any longer."""
    MISS = "miss"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cache says of an id. `value` is None for a MISS, and where the id is known to be absent.

    `fresh_at_ms` (since the Unix epoch) is when the value is proven to have been current.
    """

    state: State
    value: bytes | None = None
    version: int = 0
    fresh_at_ms: int = 0


MISS = Reading(State.MISS)


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to fill one entry, until it is used, cleared by an eviction, or over."""

    id: str
    token: bytes


class FillOutcome(Enum):
    """What became of an answer that was to be kept."""

    FILLED = 1
    LEASE_LOST = 0
    """An eviction came in between, or the lease was over: the answer may be older than the event."""
    OLDER = -1
    """The cache knows of a newer version."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """A change of an id; `version` is None where the event has none."""

    id: str
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """The batch is in. `epoch` is the watermark's; `new_epoch`: the batch had to begin it."""

    epoch: str
    new_epoch: bool


@dataclass(frozen=True, slots=True)
class OutOfStep:
    """The watermark stands at this offset, not at the batch's predecessor; nothing was done."""

    offset: int
