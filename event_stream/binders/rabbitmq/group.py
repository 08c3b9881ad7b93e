"""One connection of a member of a group: takes its share of the partitions, and gives back what is not its own."""

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

# Who is in a group. Each member tells the others once a second that it lives, and counts those that it has heard.
#
# RabbitMQ hands a queue to one consumer, but does not share several out among those who want them. What one believes
# here decides only which queues it asks for: whoever has a queue's `owner` has the queue.

SAY_EVERY_S = 1.0
FORGET_AFTER_S = 5.0
_HEAR_OTHERS_S = 0.1
_News = Literal["new", "here", "gone"]


class GroupPresence:
    """Seen by one member. `changed` is called when another one comes or goes. On the link's thread."""

    def __init__(self, channel: Channel, exchange: str, changed: Callable[[], None]) -> None:
        self._channel = channel
        self._exchange = exchange
        self._changed = changed
        # In the order of joining, so that a newcomer moves no more than it has to.
        self._me = f"{time.time_ns():020d}-{uuid.uuid4()}"
        self._heard_at: dict[str, float] = {}
        self._said_at = 0.0

    async def join(self) -> None:
        queue = (await self._channel.ask("queue_declare", queue="", exclusive=True, auto_delete=True)).queue
        await self._channel.ask("queue_bind", queue=queue, exchange=self._exchange)
        await self._channel.ask("basic_consume", queue=queue, on_message_callback=self._heard, auto_ack=True)
        self._say("new")
        # Those who are there answer at once. Who is not heard by then costs a share that has to be given back.
        await asyncio.sleep(_HEAR_OTHERS_S)

    def share(self, partitions: int) -> set[int]:
        """What this member should have."""
        members = sorted([self._me, *self._heard_at])
        return set(range(members.index(self._me), partitions, len(members)))

    def tick(self) -> None:
        """To be called every second or more often."""
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


# What a consumer has been given of one partition and has not acknowledged: the part of the log that it can see.


class UnackedBuffer:
    """Filled by the link's thread, read by the one that polls; whoever calls holds the consumer's lock.

    On the link's thread, `acknowledge(tag)` tells the broker that everything up to that delivery is done, and
    `release()` gives the partition away.
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
        """Which of them the next poll begins with."""
        self._done = 0
        """Everything below this offset is."""
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
        """As far back as to the first that is not acknowledged."""
        self._next = self._below(offset)

    @property
    def position(self) -> int:
        return self._records[self._next].offset if self.unread else self._end

    def commit(self, next_offset: int) -> int | None:
        """Forget what is below. The delivery to acknowledge, if there is one."""
        self._done = max(self._done, next_offset)
        count = self._below(next_offset)
        if not count:
            return None
        tag = self._tags[count - 1]
        del self._records[:count], self._tags[:count]
        self._next = max(0, self._next - count)
        return tag

    def bounds(self, waiting: int) -> OffsetRange:
        """From what is done to the last that came; to now, where more is `waiting` on the broker or unread here."""
        end = max(self._end, self._done)
        if waiting or self.unread:
            end = max(end, time.time_ns() // 1000)
        return OffsetRange(self._done, end)

    def _below(self, offset: int) -> int:
        return bisect_left(self._records, offset, key=lambda record: record.offset)


_TRY_AGAIN_S = 0.1
"""Whoever has a partition that is ours gives it back when its batch is done."""
_RESOURCE_LOCKED = 405

Event = Literal["assigned", "revoked", "lost"]
Tell = Callable[[Event, Sequence[UnackedBuffer]], None]
Deliver = Callable[[UnackedBuffer, int, BasicProperties, bytes], None]


@dataclass(slots=True)
class _Held:
    channel: Channel
    window: UnackedBuffer
    asked_back: bool = False


class Session:
    """On the link's thread. `tell` is heard by the one that polls, which releases what is revoked in its time."""

    def __init__(
        self,
        link: ConnectionThread,
        connection: Connection,
        *,
        binding: Binding,
        properties: Mapping[str, Any],
        tell: Tell,
        deliver: Deliver,
    ) -> None:
        self._link = link
        self._connection = connection
        self._binding = binding
        self._properties = properties
        self._tell = tell
        self._deliver = deliver
        self._held: dict[int, _Held] = {}
        self._joined = False
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.control: Channel

    async def run(self) -> None:
        """Until the link is to stop or the connection is no more. Raises pika's AMQPError and ConfigurationError."""
        self.control = await self._connection.channel()
        await topology.declare_group(self.control, self._binding, self._properties)
        members = GroupPresence(self.control, topology.members_name(self._binding), self._wake.set)
        await members.join()
        self._link.established()
        try:
            while not (self._link.stopping.is_set() or self.control.closed.done()):
                self._wake.clear()
                members.tick()
                complete = await self._service_partitions(members.share(self._properties["partitions"]))
                await self._rest(SAY_EVERY_S / 2 if complete else _TRY_AGAIN_S)
        finally:
            await self._end(members)

    async def waiting(self, partition: int) -> int:
        """How many messages lie in the partition's queue that nobody has been given."""
        queue = topology.queue_name(self._binding, partition)
        answer = await self.control.ask("queue_declare", queue=queue, passive=True)
        return int(answer.message_count)

    async def _service_partitions(self, share: set[int]) -> bool:
        """Whether we have what we should."""
        for partition, held in list(self._held.items()):
            if held.channel.closed.done():
                # The broker took it: its queue was deleted, or a message was not acknowledged for too long.
                self._tell("lost", [held.window])
                await self._release(partition)
                await topology.declare_group(self.control, self._binding, self._properties)
            elif partition not in share and not held.asked_back:
                held.asked_back = True
                self._tell("revoked", [held.window])
        missing = sorted(share - self._held.keys())
        claimed = [one for number in missing if (one := await self._claim(number)) is not None]
        if claimed or not self._joined:
            # All at once: who waits until all of its partitions are done must know of them.
            self._joined = True
            self._tell("assigned", [one.window for one in claimed])
        for one in claimed:
            await self._consume(one)
        return share == self._held.keys()

    async def _claim(self, partition: int) -> _Held | None:
        """None where another member has it still."""
        channel = await self._connection.channel()
        try:
            await channel.ask("queue_declare", queue=topology.owner_name(self._binding, partition), exclusive=True)
        except ChannelClosedByBroker as refused:
            if refused.reply_code != _RESOURCE_LOCKED:
                raise
            return None
        window = UnackedBuffer(
            self._binding.destination,
            partition,
            acknowledge=lambda tag: _acknowledge(channel, tag),
            release=lambda: self._release_soon(partition),
        )
        held = self._held[partition] = _Held(channel, window)
        channel.closed.add_done_callback(lambda _: self._wake.set())
        # Cancelled by the broker: the queue is gone.
        channel.raw.add_on_cancel_callback(lambda _: channel.raw.close())
        return held

    async def _consume(self, held: _Held) -> None:
        def came(_channel: object, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
            self._deliver(held.window, method.delivery_tag, properties, body)

        # Ever the same number: what came back is given out first, but keeps its order only if it is taken whole.
        await held.channel.ask("basic_qos", prefetch_count=self._properties["prefetch"])
        queue = topology.queue_name(self._binding, held.window.partition)
        await held.channel.ask("basic_consume", queue=queue, on_message_callback=came)

    def _release_soon(self, partition: int) -> None:
        task = asyncio.ensure_future(self._release(partition))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release(self, partition: int) -> None:
        """What is acknowledged by now is done; the rest goes back to its place in the queue."""
        held = self._held.pop(partition, None)
        if held is not None and not self.control.closed.done():
            await held.channel.close()
            await self.control.ask("queue_delete", queue=topology.owner_name(self._binding, partition))
            self._wake.set()

    async def _rest(self, seconds: float) -> None:
        woken = asyncio.ensure_future(self._wake.wait())
        try:
            await self._link.until_over(self.control.closed, woken, timeout_s=seconds)
        finally:
            woken.cancel()

    async def _end(self, members: GroupPresence) -> None:
        if self.control.closed.done():
            self._tell("lost", [held.window for held in self._held.values()])
        else:
            for held in self._held.values():
                await held.channel.close()
            members.leave()


def _acknowledge(channel: Channel, tag: int) -> None:
    # Otherwise it comes again: to us, or to whoever has the partition by then.
    if channel.raw.is_open:
        channel.raw.basic_ack(tag, multiple=True)
