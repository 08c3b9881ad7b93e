"""Who is in a group. Each member tells the others once a second that it lives, and counts those that it has heard.

RabbitMQ hands a queue to one consumer, but does not share several out among those who want them. What one believes here
decides only which queues it asks for: whoever has a queue's `owner` has the queue.
"""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from typing import Any, Literal

from event_stream.binders.rabbitmq.channel import Channel

SAY_EVERY_S = 1.0
FORGET_AFTER_S = 5.0
_HEAR_OTHERS_S = 0.1
_News = Literal["new", "here", "gone"]


class Members:
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
