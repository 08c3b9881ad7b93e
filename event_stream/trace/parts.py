"""What each service knows of a change: its part of the trace. Plain values, which travel between services as JSON."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Change:
    """One message of the outbox: what was written, and what has become of it on the producer's side.

    `partition` and `offset` are those of its fallback message where it is parked.
    """

    correlation_id: str
    key: str
    version: int | None
    destination: str
    written_at: datetime
    sent_at: datetime | None = None
    partition: int | None = None
    offset: int | None = None
    parked_at: datetime | None = None
    error: str = ""
    by_trigger: bool = False
    user: str = ""
    """The id of the user, as the request or the admin's log has it."""
    requested_at: datetime | None = None
    """When the request began."""
    written_by: str = ""
    sent_by: str = ""
    """The processes, as host:pid."""


@dataclass(frozen=True, slots=True)
class Span:
    """Where messages of one change lie in a partition: from offset `first` to `last`."""

    destination: str
    partition: int
    first: int
    last: int
    count: int = 0


@dataclass(frozen=True, slots=True)
class Produced:
    """The producer's part. `changes` are not more than were asked for; the numbers are about all of them."""

    total: int = 0
    sent: int = 0
    parked: int = 0
    capped: bool = False
    """There are more than `total`: nobody counted further."""
    changes: tuple[Change, ...] = ()
    spans: tuple[Span, ...] = ()
    relay_leads: bool | None = None
    """None where nothing waits, and nobody looked."""
    ahead: int = 0
    """How many unsent messages of others come before the first one that waits."""


@dataclass(frozen=True, slots=True)
class Group:
    """Consumers that this service has. `fills`: its lookups fill a cache that they evict from."""

    destination: str
    name: str
    fills: bool = False


@dataclass(frozen=True, slots=True)
class Handled:
    """A batch; its offsets are from `first` to `last`. `evictions` is None where the handler keeps no cache."""

    destination: str
    group: str
    partition: int
    first: int
    last: int
    received_at: datetime
    handled_at: datetime
    process: str
    evictions: int | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a group stands in a partition: at offset `position` next, as its worker said at `seen_at`."""

    destination: str
    group: str
    partition: int
    position: int | None
    seen_at: datetime
    process: str
    paused_at: datetime | None = None
    reason: str = ""
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Parked:
    """A record that became a dead letter. `blocked`: only because an earlier one of its key is one.

    `settled_at`: a person has replayed it, to the place in its destination that is named, or discarded it.
    """

    destination: str
    group: str
    partition: int
    offset: int
    parked_at: datetime
    process: str
    error: str
    blocked: bool = False
    settled_at: datetime | None = None
    replay_partition: int | None = None
    replay_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """A version of a key came into the cache, and an answer had it. `correlation_id` is that of the lookup."""

    key: str
    version: int
    filled_at: datetime
    answered_at: datetime
    process: str
    correlation_id: str


@dataclass(frozen=True, slots=True)
class Consumed:
    """The consumer's part, of the places and keys that were asked for."""

    groups: tuple[Group, ...] = ()
    batches: tuple[Handled, ...] = ()
    standings: tuple[Standing, ...] = ()
    parked: tuple[Parked, ...] = ()
    fills: tuple[Fill, ...] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """What one service knows. `produced` is None in a service without an outbox."""

    service: str
    produced: Produced | None = None
    consumed: Consumed = field(default_factory=Consumed)


@dataclass(frozen=True, slots=True)
class Missing:
    """A service that could not be asked, and why."""

    service: str
    problem: str
