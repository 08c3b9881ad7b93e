"""What a messaging platform must offer. Binders implement it; nothing else in the package knows a platform."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from event_stream.binding import Binding
from event_stream.message import OutboundRecord, Receipt, Record


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a platform can do; the code that needs one asks here and never for the platform's name."""

    seekable: bool
    """A consumer can go back to any offset still kept. Where it can't, only to what it has not committed."""
    retained: bool
    """What is handled stays, at offsets that only grow: a later group finds it, `committed` and `read` know of it.

    Where it is not, a group gets what is sent once it has joined (or been declared), and `read` is for journals only.
    """
    partitioned: bool
    """Keys are spread over partitions, which the members of a group share out."""
    ordered: bool
    """Messages of one key stay in order."""
    batched: bool
    """One poll may bring several records."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """The offsets a partition holds: from `start` up to but without `end`."""

    start: int
    end: int


class Producer(Protocol):
    """Sends records. Safe to use from several threads."""

    def send(self, record: OutboundRecord) -> "Future[Receipt]":
        """Hand the record over; the future ends with the platform's receipt or a PublishError."""

    def partition_count(self, destination: str) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then disconnect."""


class RebalanceListener(Protocol):
    """Told of partitions that come and go. Called from within `Consumer.poll` and `Consumer.close`, on their thread."""

    def assigned(self, partitions: Collection[int]) -> None:
        """They are ours from here on, in addition to what we have. Called with none where the group has none for us."""

    def revoked(self, partitions: Collection[int]) -> None:
        """They are no longer ours; what had been committed by then has been kept."""

    def lost(self, partitions: Collection[int]) -> None:
        """Somebody else has had them for a while, and what was committed last may not have been kept."""


class Consumer(Protocol):
    """Reads one destination for one group. Used from one thread."""

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[Record]]:
        """Up to `max_records` records by partition, in order; empty when the time is up. Raises UnavailableError."""

    def seek(self, partition: int, offset: int) -> None:
        """The next poll of the partition begins at this offset."""

    def pause(self, partitions: Collection[int]) -> None: ...

    def resume(self, partitions: Collection[int]) -> None: ...

    def position(self, partition: int) -> int:
        """The offset that the next poll of the partition begins at, past what is in the log but is no record."""

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        """Everything below these offsets is done.

        A binder may keep them a moment later, so that a batch does not wait for it, but before `poll` or `close` gives
        the partitions away. What a crash or a lost group loses of them is read again.
        """

    def committed(self, partition: int) -> int | None:
        """The group's offset for the partition; None when it has none yet."""

    def bounds(self, partitions: Collection[int]) -> Mapping[int, LogBounds]: ...

    def close(self) -> None:
        """Leave the group at once, so that another member takes over."""


class Binder(Protocol):
    """A platform. Made once a process as `type(name, properties)` from its entry in EVENT_STREAM["binders"].

    Making it, a producer or a consumer neither waits for the platform nor fails when that is away. Properties that are
    wrong raise ConfigurationError, its text beginning with the key: "['acks'] is 1; it should be ...".
    """

    capabilities: Capabilities

    def check(self, binding: Binding) -> None:
        """Raises ConfigurationError where the binding asks for something that this platform can't do."""

    def producer(self, binding: Binding) -> Producer: ...

    def consumer(self, binding: Binding, listener: RebalanceListener) -> Consumer: ...

    def read(self, binding: Binding) -> Iterator[Record]:
        """All that the destination holds when asked, each partition in order, without a group and leaving no trace.

        Raises UnavailableError where the platform, or the destination, is not there.
        """
