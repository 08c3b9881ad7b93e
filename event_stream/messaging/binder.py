"""What a messaging platform must offer. Binders implement it; nothing else in the package knows a platform."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from event_stream.conf import Binding
from event_stream.messaging.message import ConsumerRecord, ProducerRecord, RecordMetadata


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
    counted: bool = False
    """Offsets are numbered one by one, so that the difference of two is a number of messages (and a few marks)."""


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets a partition holds: from `start` up to but without `end`."""

    start: int
    end: int


class Delivery(Protocol):
    """What becomes of a record that was handed over: a Future of its receipt, or what costs less than one."""

    def done(self) -> bool: ...

    def result(self, timeout: float | None = None) -> RecordMetadata:
        """The receipt. Raises PublishError, or TimeoutError where it is not known within that many seconds."""

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The PublishError; None where there is a receipt."""


class Producer(Protocol):
    """Sends records. Safe to use from several threads."""

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Hand the record over; the future ends with the platform's receipt or a PublishError."""

    def partition_count(self, destination: str) -> int:
        """How many partitions the destination has. Raises UnavailableError when the platform can't be asked."""

    def close(self, timeout_s: float) -> None:
        """Wait for what is under way, then disconnect."""


@runtime_checkable
class BatchProducer(Protocol):
    """A producer that takes many records at once for less than it takes each. None has to be one."""

    def send_all(self, records: Sequence[ProducerRecord]) -> Sequence[Delivery]:
        """Hand records over in their order, up to the first that fails at once and is not refused for good.

        That one is the last of the deliveries.
        """


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

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
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

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]: ...

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

    def read(self, binding: Binding) -> Iterator[ConsumerRecord]:
        """All that the destination holds when asked, each partition in order, without a group and leaving no trace.

        Raises UnavailableError where the platform, or the destination, is not there.
        """


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """What a platform tells about a destination. Where partitions differ, the number is that of the worst one.

    None stands for what the platform has not, or does not tell, here and in the classes below.
    """

    partitions: int | None = None
    """None also for a journal that has none."""
    copies: int | None = None
    copies_in_sync: int | None = None
    """How many of them have everything, now."""
    in_sync_needed: int | None = None
    """With fewer, the platform takes no message; with exactly as many, one more loss loses none that it has taken."""
    largest_message: int | None = None
    """In bytes; None where only senders have a limit."""
    compacted: bool | None = None
    """Whether it keeps only the last message of each key."""


@dataclass(frozen=True, slots=True)
class OtherMember:
    """A consumer of the same group that is not this package's: each of the two hears of a part of the messages."""

    name: str
    """What the platform knows it by."""
    partitions: Sequence[int]
    """Those of the destination that it reads, and none of ours does."""


@dataclass(frozen=True, slots=True)
class Group:
    """The binding's own."""

    members: int | None = None
    """Without the others."""
    waiting: int | None = None
    """Messages that it has not handled yet; on some platforms without those that its members have in hand."""
    deleted: int | None = None
    """Messages of these that the destination no longer holds."""
    others: Sequence[OtherMember] = ()
    """Members that are not ours, as far as the platform tells."""


@dataclass(frozen=True, slots=True)
class Description:
    """A binding's destination and group on the platform, as they are now."""

    servers: int | None = None
    """How many there are to keep copies on."""
    destination: TopicDescription | None = None
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
class BrokerAdmin(Protocol):
    """A binder that can tell about a binding, for `manage.py doctor`. None has to be one."""

    def describe(self, binding: Binding) -> Description:
        """Asks the platform, for a few seconds at most. Raises UnavailableError."""

    def limits(self, binding: Binding) -> Limits:
        """From the settings alone."""


def ensure_topic(binder: Binder, name: str) -> int:
    """Create a topic before somebody uses it, on a platform whose binder makes what is missing.

    Return how many partitions it has: the binder's setting where it is new, else those that it had.

    Raises EventStreamError where the platform is away or refuses.
    """
    producer = binder.producer(Binding("making", name, "making"))
    try:
        return producer.partition_count(name)
    finally:
        producer.close(0)
