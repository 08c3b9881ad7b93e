"""What a platform can tell about a binding, for `manage.py doctor`. A binder may be Inspectable; none has to be.

None stands for what the platform has not, or does not tell.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from event_stream.binding import Binding


@dataclass(frozen=True, slots=True)
class Destination:
    """Where partitions differ, the number is that of the worst one."""

    partitions: int | None = None
    """None also for a journal that has none."""
    copies: int | None = None
    copies_in_sync: int | None = None
    """How many of them have everything, now."""
    in_sync_needed: int | None = None
    """With fewer, the platform takes no message; with exactly as many, one more loss loses none that it has taken."""
    largest_message: int | None = None
    """In bytes; None where only senders have a limit."""


@dataclass(frozen=True, slots=True)
class Group:
    """The binding's own."""

    members: int | None = None
    waiting: int | None = None
    """Messages that it has not handled yet; on some platforms without those that its members have in hand."""
    deleted: int | None = None
    """Messages of these that the destination no longer holds."""


@dataclass(frozen=True, slots=True)
class Description:
    """A binding's destination and group on the platform, as they are now."""

    servers: int | None = None
    """How many there are to keep copies on."""
    destination: Destination | None = None
    """None where it is not there."""
    group: Group | None = None
    """None for a binding that only sends."""
    made_by_use: bool = False
    """Whether whoever uses a destination makes it, so that nobody has to do it first."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the binding's own settings allow a consumer. Times are in seconds."""

    new_group_reads_all: bool
    """Whether a group that has committed nothing begins at the start, and not with what comes next."""
    poll_budget_s: float | None = None
    """A member that does not poll for this long loses its partitions."""
    parking_s: float | None = None
    """What parking one dead letter takes at most."""


@runtime_checkable
class Inspectable(Protocol):
    """A binder that can tell."""

    def describe(self, binding: Binding) -> Description:
        """Asks the platform, for a few seconds at most. Raises UnavailableError."""

    def limits(self, binding: Binding) -> Limits:
        """From the settings alone."""
