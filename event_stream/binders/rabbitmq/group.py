"""Group membership: which members are present, and which partitions this member holds.

`GroupPresence` counts the members, `Session` claims and releases partitions, and `UnackedBuffer` holds the deliveries
of one partition.
"""

import asyncio
import json
import time
import uuid
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic

from event_stream.binders.rabbitmq import topology
from event_stream.binders.rabbitmq.connection import Channel, Connection, ConnectionThread
from event_stream.binders.rabbitmq.records import as_record
from event_stream.conf import Binding
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ConsumerRecord

SAY_EVERY_S = 1.0
FORGET_AFTER_S = 5.0
_HEAR_OTHERS_S = 0.1
_RETRY_CLAIM_S = 0.1
"""Another member that has a partition of ours releases it when its batch is done."""
_RESOURCE_LOCKED = 405
_News = Literal["new", "here", "gone"]


class GroupPresence:
    """The members of a group, as one member sees them. Runs on the connection's thread.

    Each member announces itself once a second and counts the members that it hears. RabbitMQ hands a queue to one
    consumer, but does not divide several queues among consumers. The count decides only which queues a member asks for;
    the holder of a queue's `owner` queue has the queue. `changed` is called when another member joins or leaves.
    """

    def __init__(self, channel: Channel, exchange: str, changed: Callable[[], None]) -> None:
        self._channel = channel
        self._exchange = exchange
        self._changed = changed
        # Sorts in the order of joining, so that a new member moves as few partitions as possible.
        self._me = f"{time.time_ns():020d}-{uuid.uuid4()}"
        self._heard_at: dict[str, float] = {}
        self._said_at = 0.0

    async def join(self) -> None:
        queue = (await self._channel.ask("queue_declare", queue="", exclusive=True, auto_delete=True)).queue
        await self._channel.ask("queue_bind", queue=queue, exchange=self._exchange)
        await self._channel.ask("basic_consume", queue=queue, on_message_callback=self._heard, auto_ack=True)
        self._say("new")
        # Present members answer at once. A member that is not heard in time costs a share that has to be released.
        await asyncio.sleep(_HEAR_OTHERS_S)

    def share(self, partitions: int) -> set[int]:
        """Return the partitions that this member should have."""
        members = sorted([self._me, *self._heard_at])
        return set(range(members.index(self._me), partitions, len(members)))

    def tick(self) -> None:
        """Announce this member, and forget silent ones. Call it at least once a second."""
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY_S:
            self._say("here")
        missing = [member for member, heard_at in self._heard_at.items() if now - heard_at > FORGET_AFTER_S]
        for member in missing:
            del self._heard_at[member]
        if missing:
            self._changed()

    def leave(self) -> None:
        self._say("gone")

    def _say(self, what: _News) -> None:
        self._said_at = time.monotonic()
        body = json.dumps({"member": self._me, "is": what}).encode()
        if self._channel.raw.is_open:
            self._channel.raw.basic_publish(self._exchange, "", body)

    def _heard(self, _channel: object, _method: object, _properties: object, body: bytes) -> None:
        news: dict[str, Any] = json.loads(body)
        member, what = news["member"], news["is"]
        if member == self._me:
            return
        if what == "gone":
            if self._heard_at.pop(member, None) is not None:
                self._changed()
            return
        if what == "new":
            self._say("here")
        is_new = member not in self._heard_at
        self._heard_at[member] = time.monotonic()
        if is_new:
            self._changed()


class UnackedBuffer:
    """The unacknowledged deliveries of one partition: the part of its log that the consumer can see.

    The connection's thread fills it and the polling thread reads it; callers hold the consumer's lock. On the
    connection's thread, `acknowledge(tag)` acknowledges everything up to that delivery, and `release()` releases the
    partition.
    """

    def __init__(
        self, destination: str, partition: int, acknowledge: Callable[[int], None], release: Callable[[], None]
    ) -> None:
        self.partition = partition
        self.acknowledge = acknowledge
        self.release = release
        self.paused = False
        self._destination = destination
        self._records: list[ConsumerRecord] = []
        self._tags: list[int] = []
        self._next = 0
        """The index at which the next poll begins."""
        self._done = 0
        """Everything below this offset is committed."""
        self._end = 0

    def add(self, tag: int, properties: BasicProperties, body: bytes) -> None:
        record = as_record(self._destination, self.partition, properties, body, self._end)
        self._records.append(record)
        self._tags.append(tag)
        self._end = record.offset + 1

    @property
    def unread(self) -> int:
        return len(self._records) - self._next

    def take(self, most: int) -> Sequence[ConsumerRecord]:
        taken = self._records[self._next : self._next + most]
        self._next += len(taken)
        return taken

    def seek(self, offset: int) -> None:
        """Seek, at most back to the first record that is not acknowledged."""
        self._next = self._below(offset)

    @property
    def position(self) -> int:
        return self._records[self._next].offset if self.unread else self._end

    def commit(self, next_offset: int) -> int | None:
        """Forget records below the offset; return the delivery tag to acknowledge, if any."""
        self._done = max(self._done, next_offset)
        count = self._below(next_offset)
        if not count:
            return None
        tag = self._tags[count - 1]
        del self._records[:count], self._tags[:count]
        self._next = max(0, self._next - count)
        return tag

    def bounds(self, waiting: int) -> OffsetRange:
        """Return the range from the committed offset to the last delivery, or to now if messages wait or are unread."""
        end = max(self._end, self._done)
        if waiting or self.unread:
            end = max(end, time.time_ns() // 1000)
        return OffsetRange(self._done, end)

    def _below(self, offset: int) -> int:
        return bisect_left(self._records, offset, key=lambda record: record.offset)


Event = Literal["assigned", "revoked", "lost"]
Notify = Callable[[Event, Sequence[UnackedBuffer]], None]
Deliver = Callable[[UnackedBuffer, int, BasicProperties, bytes], None]


@dataclass(slots=True)
class _Held:
    channel: Channel
    buffer: UnackedBuffer
    asked_back: bool = False


class Session:
    """One connection's membership: claims this member's share of the partitions and releases the others.

    Runs on the connection's thread. `notify` reaches the polling thread, which releases revoked partitions when it has
    finished with them.
    """

    def __init__(
        self,
        connection_thread: ConnectionThread,
        connection: Connection,
        *,
        binding: Binding,
        properties: Mapping[str, Any],
        notify: Notify,
        deliver: Deliver,
    ) -> None:
        self._connection_thread = connection_thread
        self._connection = connection
        self._binding = binding
        self._properties = properties
        self._notify = notify
        self._deliver = deliver
        self._held: dict[int, _Held] = {}
        self._joined = False
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.control: Channel

    async def run(self) -> None:
        """Run until the thread has to stop or the connection closes. Raises pika's AMQPError and ConfigurationError."""
        self.control = await self._connection.channel()
        await topology.declare_group(self.control, self._binding, self._properties)
        members = GroupPresence(self.control, topology.members_name(self._binding), self._wake.set)
        await members.join()
        self._connection_thread.established()
        try:
            while not (self._connection_thread.stopping.is_set() or self.control.closed.done()):
                self._wake.clear()
                members.tick()
                complete = await self._reconcile(members.share(self._properties["partitions"]))
                await self._rest(SAY_EVERY_S / 2 if complete else _RETRY_CLAIM_S)
        finally:
            await self._end(members)

    async def waiting(self, partition: int) -> int:
        """Return the number of undelivered messages in the partition's queue."""
        queue = topology.queue_name(self._binding, partition)
        answer = await self.control.ask("queue_declare", queue=queue, passive=True)
        return int(answer.message_count)

    async def _reconcile(self, share: set[int]) -> bool:
        """Claim and release partitions; return whether this member holds exactly its share."""
        for partition, held in list(self._held.items()):
            if held.channel.closed.done():
                # The broker closed it: the queue was deleted, or a message was not acknowledged for too long.
                self._notify("lost", [held.buffer])
                await self._release(partition)
                await topology.declare_group(self.control, self._binding, self._properties)
            elif partition not in share and not held.asked_back:
                held.asked_back = True
                self._notify("revoked", [held.buffer])
        missing = sorted(share - self._held.keys())
        claimed = [claim for partition in missing if (claim := await self._claim(partition)) is not None]
        if claimed or not self._joined:
            # One notification for all of them: the listener has to know all partitions that it has to wait for.
            self._joined = True
            self._notify("assigned", [claim.buffer for claim in claimed])
        for claim in claimed:
            await self._consume(claim)
        return share == self._held.keys()

    async def _claim(self, partition: int) -> _Held | None:
        """Return None where another member still has the partition."""
        channel = await self._connection.channel()
        try:
            await channel.ask("queue_declare", queue=topology.owner_name(self._binding, partition), exclusive=True)
        except ChannelClosedByBroker as refused:
            if refused.reply_code != _RESOURCE_LOCKED:
                raise
            return None
        buffer = UnackedBuffer(
            self._binding.destination,
            partition,
            acknowledge=lambda tag: _acknowledge(channel, tag),
            release=lambda: self._release_soon(partition),
        )
        held = self._held[partition] = _Held(channel, buffer)
        channel.closed.add_done_callback(lambda _: self._wake.set())
        # Cancelled by the broker: the queue is gone.
        channel.raw.add_on_cancel_callback(lambda _: channel.raw.close())
        return held

    async def _consume(self, held: _Held) -> None:
        def on_message(_channel: object, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            self._deliver(held.buffer, method.delivery_tag, properties, body)

        # Always the same number: returned messages are delivered first, but keep their order only if taken together.
        await held.channel.ask("basic_qos", prefetch_count=self._properties["prefetch"])
        queue = topology.queue_name(self._binding, held.buffer.partition)
        await held.channel.ask("basic_consume", queue=queue, on_message_callback=on_message)

    def _release_soon(self, partition: int) -> None:
        task = asyncio.ensure_future(self._release(partition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release(self, partition: int) -> None:
        """Release the partition. Unacknowledged messages return to their places in the queue."""
        held = self._held.pop(partition, None)
        if held is not None and not self.control.closed.done():
            await held.channel.close()
            await self.control.ask("queue_delete", queue=topology.owner_name(self._binding, partition))
            self._wake.set()

    async def _rest(self, seconds: float) -> None:
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await self._connection_thread.until_over(self.control.closed, woken, timeout_s=seconds)
        finally:
            woken.cancel()

    async def _end(self, members: GroupPresence) -> None:
        if self.control.closed.done():
            self._notify("lost", [held.buffer for held in self._held.values()])
        else:
            for held in self._held.values():
                await held.channel.close()
            members.leave()


def _acknowledge(channel: Channel, tag: int) -> None:
    # On a closed channel, the broker redelivers the message, to this member or to another one.
    if channel.raw.is_open:
        channel.raw.basic_ack(tag, multiple=True)
