"""What one search is about: how much of everything there is, what may go wrong and how often, and which part of the
protocol is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, TypedDict, Unpack

from tests.model import protocol
from tests.model.protocol import Applied, Cache, Epoch, Filled, Time, Token, Version


class LeaseRule(Protocol):
    def __call__(self, cache: Cache, token: Token) -> tuple[Cache, bool]: ...


class FillRule(Protocol):
    def __call__(self, cache: Cache, token: Token, version: Version, as_of: Time) -> tuple[Cache, Filled]: ...


class Batch(TypedDict):
    """The arguments of `protocol.apply`."""

    prev: int
    last: int
    events: Sequence[Version | None]
    as_of: Time
    new_epoch: Epoch


class ApplyRule(Protocol):
    def __call__(self, cache: Cache, **batch: Unpack[Batch]) -> tuple[Cache, Applied]: ...


class VouchedRule(Protocol):
    def __call__(self, cache: Cache) -> bool: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How the cache behaves: the protocol, or (`ablations`) the protocol with a part left out."""

    lease: LeaseRule = protocol.lease
    fill: FillRule = protocol.fill
    apply: ApplyRule = protocol.apply
    vouched: VouchedRule = protocol.vouched
    leases: bool = True
    """Whether `fill` asks for the reader's own lease."""
    watermark: bool = True
    """Whether there is one. Without, the offset is the broker's, and a value is trusted for as long as it is there."""


class Budget(NamedTuple):
    """How often each of these may still happen. Redis losing an entry or a lease is not here: that may happen at any
    time, without end.
    """

    duplicate: int = 0
    """The relay dies between sending an event and marking its row."""
    crash: int = 0
    """The worker dies, loses its partition while it holds a batch (and becomes a zombie), or dies half-way through an
    apply that is not atomic.
    """
    failover: int = 0
    """Redis goes on from its replica, which has any older state."""
    flush: int = 0
    """FLUSHALL, or an empty restart."""
    lost_watermark: int = 0
    """Redis evicts the watermark's key alone."""
    new_epoch: int = 0
    """Some worker, a zombie too, starts a new epoch at any offset of its choosing: its records are gone, or an operator
    told it to.
    """
    parked: int = 0
    """The relay puts a row aside that it cannot send, and sends a bare eviction, without a version, in its place."""
    foreign: int = 0
    """A producer that knows only the four keys changes the organization in its own database, and announces it after the
    commit.
    """
    unannounced: int = 0
    """Such a producer dies between the commit and the announcement."""
    truncation: int = 0
    """The broker elects an unclean leader: the log loses records at its end that it had acknowledged."""


PROTOCOL = Rules()
NO_FAULTS = Budget()


class AsOf(Enum):
    """Which time a filled value carries."""

    ASK = "when the reader began to ask"
    SOURCE = "the time that the source itself says its answer is of"
    FILL = "when the reader fills"


class Heartbeat(Enum):
    """Which time the relay's heartbeat carries."""

    OLDEST_UNPUBLISHED = "just before the oldest unpublished row, or now"
    NOW = "now, whatever is unpublished"
    NONE = "there are no heartbeats"


@dataclass(frozen=True, slots=True)
class Configuration:
    """One organization, one partition. The defaults are the whole protocol, and no fault but forgotten entries and
    leases and reordering.
    """

    versions: int = 1
    """Commits that follow version 0."""
    readers: int = 1
    log_size: int = 3
    """Records between the first that somebody may still need and the last; the relay waits when there are so many."""
    batch: int = 2
    """Records that the worker applies at once, at most."""
    budget: Budget = NO_FAULTS
    rules: Rules = PROTOCOL

    refetch: bool = True
    """Whether a reader may ask although a vouched value is there: `no-cache`, `min-fresh`, or a watermark that stood
    still for longer than BOUND.
    """
    as_of: AsOf = AsOf.ASK
    heartbeat: Heartbeat = Heartbeat.OLDEST_UNPUBLISHED
    bounded: bool = True
    """Whether to check the bound on staleness, and not only that nothing is stale for ever."""

    lagging_source: bool = False
    """Whether the answers come from a copy of the database (a replica, an HTTP cache) that is behind by as much as it
    likes.
    """
    floor_outlasts_lag: bool = False
    """Whether a floor stays until that copy has reached it and the leases of before have lapsed. If not, it may go at
    any time, like all else.
    """
    slow_writes: bool = False
    """Whether a write takes its version (and its outbox id) some time before it commits."""
    relay_cursor: bool = False
    """Whether the relay reads the outbox by "id greater than the last", and not by "not published yet"."""
    absent_by_clock: bool = False
    """Whether "absent" (which version 0 then is) carries the database's clock as its version, and not the version of a
    commit.
    """
    commit_first: bool = False
    """Whether the worker commits its offset before it applies the batch. (Only without a watermark: with one the commit
    counts for nothing.)
    """
    atomic_apply: bool = True
    """Whether the eviction and the watermark's move are one step."""
    seeks: bool = True
    """Whether the worker seeks when it is told to."""
    parked_evicts: bool = True
    """Whether anything is sent in place of a parked row."""
    whole_log: bool = False
    """Whether the log keeps what everybody has applied, so that a worker without a watermark may start there too.
    `log_size` is then all there is.
    """
