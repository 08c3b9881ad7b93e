"""Reading from Kafka as a member of a group."""

import logging
import time
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import kafka
from kafka import AsyncConsumerRebalanceListener
from kafka.errors import AuthorizationError, KafkaError, RetriableError
from kafka.structs import OffsetAndMetadata, TopicPartition

from event_stream.binders.kafka import patches
from event_stream.binders.kafka.connection import Connection, denied
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import OffsetRange, RebalanceListener
from event_stream.messaging.message import ConsumerRecord

_ASK_TIMEOUT_MS = 500
"""For a question that the loop waits for: it has to see its stop flag, so it rather asks again later."""
_LEAVE_TIMEOUT_MS = 300
"""Leaving is a courtesy: who can't is found missing when the session is over."""
_KNOW_TOPIC_S = 2.0
"""A topic that is not there by then may be made later."""

logger = logging.getLogger("event_stream.binders.kafka")

Event = tuple[Literal["assigned", "revoked", "lost"], list[int]]
"""What happened to partitions of ours, and to which."""


class KafkaConsumer:
    """One topic for one group. It joins with the first poll; no call waits longer than about a second for a broker."""

    def __init__(self, properties: Mapping[str, Any], topic: str, listener: RebalanceListener) -> None:
        own = dict(properties)
        self._topic = topic
        self._listener = listener
        self._commits = OffsetCommitter(topic, own.pop("commit_interval_ms") / 1000)
        self._rebalances = Rebalances(self._commits)
        self._connection = Connection(lambda **how: self._subscribed(own, how), patches.force_close, own)
        # A broker answers the requests of one connection in turn: a question may have to wait for a fetch under way.
        self._ask_timeout_ms = _ASK_TIMEOUT_MS + own["fetch_max_wait_ms"]
        self._client: Any = None

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        deadline = time.monotonic() + timeout_s
        client = self._connected(timeout_s)
        self._commits.send_if_due(client)
        with _unavailable():
            # An assignment is handed on only when this returns, so it waits in small steps until there is one.
            polled: Mapping[TopicPartition, Sequence[Any]] = {}
            while not polled and not self._rebalances.pending:
                remaining_ms = max(0, int((deadline - time.monotonic()) * 1000))
                step_ms = remaining_ms if self._rebalances.assigned else min(remaining_ms, 50)
                patches.free_used_up_records(client)
                try:
                    polled = client.poll(timeout_ms=step_ms, max_records=max_records)
                except AuthorizationError:
                    # It is told at once, and asking again at once would be an attack.
                    time.sleep(remaining_ms / 1000)
                    raise
                if remaining_ms == 0:
                    break
        self._hand_on()
        return {at.partition: [as_record(record) for record in records] for at, records in polled.items()}

    def seek(self, partition: int, offset: int) -> None:
        self._client.seek(self._at(partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        self._client.pause(*map(self._at, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        self._client.resume(*map(self._at, partitions))

    def position(self, partition: int) -> int:
        with _unavailable():
            position = self._client.position(self._at(partition), timeout_ms=self._ask_timeout_ms)
        if position is None:
            raise UnavailableError(f"the position in {self._topic}[{partition}] is not known yet")
        return int(position)

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        self._commits.add(next_offsets)
        self._commits.send_if_due(self._client)

    def committed(self, partition: int) -> int | None:
        with _unavailable():
            offset = self._client.committed(self._at(partition), timeout_ms=self._ask_timeout_ms)
        return None if offset is None else int(offset)

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
        at = [self._at(partition) for partition in partitions]
        with _unavailable():
            starts = self._client.beginning_offsets(at, timeout_ms=self._ask_timeout_ms)
            ends = self._client.end_offsets(at, timeout_ms=self._ask_timeout_ms)
        return {place.partition: OffsetRange(starts[place], ends[place]) for place in at}

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            self._connection.forget()
            return
        self._commits.send_now(client, self._ask_timeout_ms)
        try:
            client.close(autocommit=False, timeout_ms=_LEAVE_TIMEOUT_MS)
        finally:
            self._hand_on()

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    def _connected(self, timeout_s: float) -> Any:
        if self._client is None:
            self._client = self._connection.get(timeout_s)
        return self._client

    def _subscribed(self, properties: Mapping[str, Any], how: Mapping[str, Any]) -> Any:
        """On the thread that connects."""
        client = kafka.KafkaConsumer(**properties, **how)
        client.subscribe([self._topic], listener=self._rebalances.listener(client))
        # A member that joins before it knows the topic is given nothing, and causes a second rebalance when it does.
        deadline = time.monotonic() + _KNOW_TOPIC_S
        while not patches.knows_topic(client, self._topic) and time.monotonic() < deadline:
            time.sleep(0.005)
        return client

    def _hand_on(self) -> None:
        """Tell the listener, on its own thread, what happened to our partitions."""
        for what, partitions in self._rebalances.take():
            if what == "assigned":
                if self._client is not None and partitions:
                    # A partition that stays ours through a rebalance stays paused, but whoever paused it starts over.
                    self.resume(partitions)
                self._listener.assigned(partitions)
            elif what == "revoked":
                self._listener.revoked(partitions)
            else:
                self._listener.lost(partitions)


@contextmanager
def _unavailable() -> Iterator[None]:
    # What kafka-python says is worth trying again, and what somebody may be allowed any moment; anything else is fatal
    # and stays what it is.
    try:
        yield
    except AuthorizationError as error:
        raise UnavailableError(f"Kafka: {denied(error)}") from error
    except RetriableError as error:
        raise UnavailableError(f"Kafka does not answer: {error}") from error


class OffsetCommitter:
    """Commits exact offsets of one topic, without a batch waiting for it.

    A commit is only where the next member begins when the last one is gone: at least once holds however late it comes,
    and a handler that keeps its offsets with its effects (the fenced cache) does not even read a message twice. So
    offsets are gathered and sent at most every interval, one request at a time, and whatever is left goes before the
    partitions do: on a rebalance and on close.

    kafka-python calls rebalance listeners on its own thread, but only while ours waits inside of poll or close, so the
    two never meet here.
    """

    def __init__(self, topic: str, interval_s: float) -> None:
        self._topic = topic
        self._interval_s = interval_s
        self._waiting: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._request: Any = None
        self._next_at = 0.0

    def add(self, next_offsets: Mapping[int, int]) -> None:
        self._waiting.update(next_offsets)

    def drop(self, partitions: Collection[int]) -> None:
        """Somebody else has these partitions."""
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._sent.pop(partition, None)

    def send_if_due(self, client: Any) -> None:
        """Does not wait for the answer, which is looked at the next time."""
        self._settle()
        now = time.monotonic()
        if self._waiting and self._request is None and now >= self._next_at:
            self._sent, self._waiting = self._waiting, {}
            self._request = client.commit_async(self._offsets(self._sent))
            self._next_at = now + self._interval_s

    def send_now(self, client: Any, timeout_ms: int) -> None:
        """Waits for the answer, so long at most. What can't be kept is logged, and read again by whoever is next."""
        everything = self._take()
        if everything:
            try:
                client.commit(self._offsets(everything), timeout_ms=timeout_ms)
            except KafkaError as error:
                self._refused(everything, error)

    async def send_on_revoke(self, client: Any) -> None:
        """The same from a rebalance listener, on kafka-python's own loop."""
        everything = self._take()
        if everything:
            try:
                await client.commit_async(self._offsets(everything))
            except KafkaError as error:
                self._refused(everything, error)

    def _take(self) -> dict[int, int]:
        # What is under way goes once more: on the one connection it arrives second, and the later offset wins anyhow.
        self._settle()
        everything = {**self._sent, **self._waiting}
        self._waiting, self._sent, self._request = {}, {}, None
        return everything

    def _settle(self) -> None:
        request = self._request
        if request is None or not request.is_done:
            return
        if isinstance(request.exception, RetriableError):
            self._waiting = {**self._sent, **self._waiting}
        elif request.exception is not None:
            self._refused(self._sent, request.exception)
        self._sent, self._request = {}, None

    def _offsets(self, next_offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}

    def _refused(self, offsets: Mapping[int, int], error: Exception) -> None:
        extra = {"destination": self._topic, "offsets": {str(p): offset for p, offset in offsets.items()}}
        logger.warning("commit.refused", extra={**extra, "error": f"{type(error).__name__}: {error}"})


class Rebalances:
    """From kafka-python's rebalance callbacks, on its thread, to events for ours.

    kafka-python runs its callbacks on the thread of its event loop, where none of its blocking calls may be made.

    So what must happen before the partitions go, the commit, is awaited there, and the rest is noted for the thread
    that polls. That one waits inside of poll or close all the while: it handles nothing before it has heard of it.
    """

    def __init__(self, commits: OffsetCommitter) -> None:
        self._commits = commits
        self._events: deque[Event] = deque()
        self.assigned = False
        """Whether the group has given us partitions; between a revocation and the next assignment it has not."""

    @property
    def pending(self) -> bool:
        return bool(self._events)

    def take(self) -> Iterator[Event]:
        while self._events:
            yield self._events.popleft()

    def listener(self, client: Any) -> "_Listener":
        return _Listener(self, client)

    def note_assigned(self, partitions: Collection[Any]) -> None:
        self.assigned = bool(partitions)
        self._note("assigned", partitions)

    async def note_revoked(self, partitions: Collection[Any], client: Any) -> None:
        # This is where a rebalance begins.
        patches.rejoin_after_revocation(client)
        await self._commits.send_on_revoke(client)
        self.assigned = False
        if partitions:
            self._note("revoked", partitions)

    def note_lost(self, partitions: Collection[Any]) -> None:
        self._commits.drop([at.partition for at in partitions])
        self.assigned = False
        self._note("lost", partitions)

    def _note(self, what: Literal["assigned", "revoked", "lost"], partitions: Collection[Any]) -> None:
        self._events.append((what, sorted(at.partition for at in partitions)))


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    def __init__(self, rebalances: Rebalances, client: Any) -> None:
        self._rebalances = rebalances
        self._client = client

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._rebalances.note_assigned(assigned)

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        await self._rebalances.note_revoked(revoked, self._client)

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._rebalances.note_lost(lost)


def as_record(record: Any) -> ConsumerRecord:
    """kafka-python's record as ours."""
    return ConsumerRecord(
        destination=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple([(name, value or b"") for name, value in record.headers]),
        timestamp_ms=record.timestamp,
    )


_CONNECT_S = 10.0
_ASK_MS = 10_000
_STALLED_S = 30.0


def read_topic(properties: Mapping[str, Any], topic: str) -> Iterator[ConsumerRecord]:
    """Read a topic from its start to where it ends now, without a group: nothing is committed.

    Raises UnavailableError where the topic is not there or not for us, or no broker answers.
    """
    own = {name: value for name, value in properties.items() if name != "commit_interval_ms"} | {"group_id": None}
    connection = Connection(lambda **how: kafka.KafkaConsumer(**own, **how), _force_close_reader, own)
    try:
        client = connection.get(_CONNECT_S)
        yield from _records(client, topic)
    except AuthorizationError as error:
        raise UnavailableError(f"Kafka: {denied(error)}") from error
    except RetriableError as error:
        raise UnavailableError(f"Kafka does not answer: {error}") from error
    finally:
        connection.forget()


def _records(client: Any, topic: str) -> Iterator[ConsumerRecord]:
    numbers = client.partitions_for_topic(topic)
    if not numbers:
        raise UnavailableError(f"Kafka has no topic {topic}, or none that this user may read")
    at = [TopicPartition(topic, number) for number in sorted(numbers)]
    client.assign(at)
    starts = client.beginning_offsets(at, timeout_ms=_ASK_MS)
    ends = client.end_offsets(at, timeout_ms=_ASK_MS)
    for partition in at:
        client.seek(partition, starts[partition])
    unread = {partition for partition in at if starts[partition] < ends[partition]}
    moved_at = time.monotonic()
    while unread:
        polled = client.poll(timeout_ms=500)
        for partition, records in polled.items():
            yield from (as_record(record) for record in records if record.offset < ends[partition])
        # The consumer's own position is past marks in the log that are no records, too.
        unread = {partition for partition in unread if client.position(partition, timeout_ms=_ASK_MS) < ends[partition]}
        if polled:
            moved_at = time.monotonic()
        elif time.monotonic() - moved_at > _STALLED_S:
            raise UnavailableError(f"Kafka stopped answering for {topic}")


def _force_close_reader(client: Any) -> None:
    patches.force_close(client, leave_timeout_ms=1_000)
