"""pika's connections and channels, as something to await."""

import asyncio
from collections.abc import Sequence
from typing import Any

from pika import ConnectionParameters
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel as PikaChannel
from pika.exceptions import StreamLostError


class Channel:
    """A channel that is open. A mistake on it closes it and nothing else. `closed` ends with the reason."""

    def __init__(self, raw: PikaChannel, closed: "asyncio.Future[BaseException]") -> None:
        self.raw = raw
        self.closed = closed
        raw.add_on_close_callback(lambda _channel, reason: _end(closed, reason))

    async def ask(self, method: str, **arguments: Any) -> Any:
        """A method of pika's channel, and the broker's answer to it. Raises pika's AMQPError, as for a refusal."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        getattr(self.raw, method)(**arguments, callback=lambda frame: _end(answer, frame.method))
        await asyncio.wait([answer, self.closed], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise self.closed.result()
        return answer.result()

    async def close(self) -> None:
        """What is unacknowledged on it goes back to where it lay."""
        if self.raw.is_open:
            self.raw.close()
        await self.closed


class Connection:
    """A connection that is open. `closed` ends with the reason."""

    def __init__(self, raw: AsyncioConnection, closed: "asyncio.Future[BaseException]") -> None:
        self._raw = raw
        self.closed = closed

    async def channel(self) -> Channel:
        """Raises pika's AMQPError."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[PikaChannel] = loop.create_future()
        self._raw.channel(on_open_callback=lambda channel: _end(opened, channel))
        await asyncio.wait([opened, self.closed], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            raise self.closed.result()
        return Channel(opened.result(), loop.create_future())

    async def close(self, timeout_s: float) -> None:
        """In order if the broker answers in that time, else by cutting it off."""
        if self._raw.is_open:
            self._raw.close()
        await asyncio.wait([self.closed], timeout=timeout_s)
        if not self.closed.done():
            self.abort()
            await self.closed

    def abort(self) -> None:
        """Cut it off: what was sent and has not arrived never does, so that nothing sent later is overtaken by it."""
        if not self.closed.done():
            # What pika (1.4.4) does when heartbeats are missing; it offers only to wait for the broker's goodbye.
            self._raw._terminate_stream(StreamLostError("RabbitMQ no longer answers"))


async def connect(choices: Sequence[ConnectionParameters]) -> Connection:
    """The first of these brokers that lets us in. Raises what the last one said."""
    refusal: BaseException | None = None
    for parameters in choices:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[BaseException | None] = loop.create_future()
        closed: asyncio.Future[BaseException] = loop.create_future()
        raw = AsyncioConnection(
            parameters,
            on_open_callback=lambda _, end=opened: _end(end, None),
            on_open_error_callback=lambda _, error, end=opened: _end(end, error),
            on_close_callback=lambda _, reason, end=closed: _end(end, reason),
            custom_ioloop=loop,
        )
        try:
            refusal = await asyncio.shield(opened)
        except asyncio.CancelledError:
            raw.close()
            await opened
            raise
        if refusal is None:
            return Connection(raw, closed)
    assert refusal is not None, "there is at least one broker"
    raise refusal


def _end(future: "asyncio.Future[Any]", value: object) -> None:
    if not future.done():
        future.set_result(value)
