"""What one search is about: how much there is of everything, what may go wrong, what is left out."""

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


class FreshRule(Protocol):
    def __call__(self, cache: Cache) -> bool: ...


@dataclass(frozen=True, slots=True)
class Rules:
    """How the cache behaves: the protocol, or (`ablations`) the protocol with a part left out."""

    lease: LeaseRule = protocol.lease
    fill: FillRule = protocol.fill
    apply: ApplyRule = protocol.apply
    is_fresh: FreshRule = protocol.is_fresh
    leases: bool = True
    """Whether `fill` asks for the reader's own lease."""
    watermark: bool = True
    """Whether there is one. Without, the offset is the broker's, and a value is trusted for as long as it is there."""


class Budget(NamedTuple):
    """How often each of these may still happen. Redis losing an entry or a lease is not here: it may, always."""

    duplicate: int = 0
    """The relay dies between sending an event and marking its row."""
    crash: int = 0
    """The worker dies, or loses its partition with a batch in hand and becomes a zombie."""
    failover: int = 0
    """Redis goes on from its replica, which has any older state."""
    flush: int = 0
    """FLUSHALL, or an empty restart."""
    lost_watermark: int = 0
    """Redis evicts the watermark's key alone."""
    new_epoch: int = 0
    """A worker starts a new epoch at any offset whatever: its records are gone, or an operator told it to."""
    parked: int = 0
    """The relay puts a row aside that it cannot send, and sends a bare eviction, without a version, in its place."""
    foreign: int = 0
    """A producer that knows only the four keys commits a version of its own, and announces it afterwards."""
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
    """The defaults are the whole protocol, and no fault but reordering, forgotten entries and lapsed leases."""

    versions: int = 1
    """OffsetCommitter that follow version 0."""
    readers: int = 1
    log_size: int = 3
    """Records between the first that somebody may still need and the last; the relay waits when there are so many."""
    batch: int = 2
    """Records that the worker applies at once, at most."""
    budget: Budget = NO_FAULTS
    rules: Rules = PROTOCOL

    refetch: bool = True
    """Whether a reader may ask although a fresh value is there: `no-cache`, `min-fresh`, as_of older than BOUND."""
    as_of: AsOf = AsOf.ASK
    heartbeat: Heartbeat = Heartbeat.OLDEST_UNPUBLISHED
    bounded: bool = True
    """Whether to check the bound on staleness, and not only that nothing is stale for ever."""

    lagging_source: bool = False
    """Whether the answers come from a copy of the database (a replica, an HTTP cache), any number of commits behind."""
    floor_outlasts_lag: bool = False
    """Whether a floor is kept longer than lease + source lag: while that copy is behind it or a lease is out."""
    slow_writes: bool = False
    """Whether a write takes its version (and its outbox id) some time before it commits."""
    relay_cursor: bool = False
    """Whether the relay reads the outbox by "id greater than the last", and not by "not published yet"."""
    absent_by_clock: bool = False
    """Whether an answer of "absent", here version 0, carries the clock as its version and not that of a commit."""
    commit_first: bool = False
    """Whether the worker commits before it applies. (Without a watermark: with one the commit counts for nothing.)"""
    atomic_apply: bool = True
    """Whether the eviction and the watermark's move are one step. If not, a crash can come between."""
    seeks: bool = True
    """Whether the worker seeks when it is told to."""
    parked_evicts: bool = True
    """Whether anything is sent in place of a parked row."""
    whole_log: bool = False
    """Whether applied records stay, and a worker without a watermark may start there. `log_size` is then for good."""
