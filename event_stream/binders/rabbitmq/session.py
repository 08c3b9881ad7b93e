"""One connection of a member of a group: takes its share of the partitions, and gives back what is not its own."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pika import BasicProperties
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic

from event_stream.binders.rabbitmq import topology
from event_stream.binders.rabbitmq.channel import Channel, Connection
from event_stream.binders.rabbitmq.link import Link
from event_stream.binders.rabbitmq.members import SAY_EVERY_S, Members
from event_stream.binders.rabbitmq.window import Window
from event_stream.binding import Binding

_TRY_AGAIN_S = 0.1
"""Whoever has a partition that is ours gives it back when its batch is done."""
_RESOURCE_LOCKED = 405

Event = Literal["assigned", "revoked", "lost"]
Tell = Callable[[Event, Sequence[Window]], None]
Deliver = Callable[[Window, int, BasicProperties, bytes], None]


@dataclass(slots=True)
class _Held:
    channel: Channel
    window: Window
    asked_back: bool = False


class Session:
    """On the link's thread. `tell` is heard by the one that polls, which releases what is revoked in its time."""

    def __init__(
        self,
        link: Link,
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
        members = Members(self.control, topology.members_name(self._binding), self._wake.set)
        await members.join()
        self._link.established()
        try:
            while not (self._link.stopping.is_set() or self.control.closed.done()):
                self._wake.clear()
                members.tick()
                complete = await self._attend(members.share(self._properties["partitions"]))
                await self._rest(SAY_EVERY_S / 2 if complete else _TRY_AGAIN_S)
        finally:
            await self._end(members)

    async def waiting(self, partition: int) -> int:
        """How many messages lie in the partition's queue that nobody has been given."""
        queue = topology.queue_name(self._binding, partition)
        answer = await self.control.ask("queue_declare", queue=queue, passive=True)
        return int(answer.message_count)

    async def _attend(self, share: set[int]) -> bool:
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
        window = Window(
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

    async def _end(self, members: Members) -> None:
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
