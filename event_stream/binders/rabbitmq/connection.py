"""pika's connections and channels, as something to await."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pika import ConnectionParameters
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel as PikaChannel
from pika.exceptions import AMQPError, StreamLostError

from event_stream.errors import UnavailableError
from event_stream.retry import backoff_s


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


# A thread that keeps a connection to RabbitMQ: heartbeats go on whatever the rest of the process does.

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 1.0
_GOODBYE_S = 0.5


class ConnectionThread:
    """Runs `serve(connection)` on each connection, made anew with growing pauses until `close`.

    `serve` prepares what it needs, calls `established`, and returns or raises when the connection, or what it needs of
    it, is no more. Once `stopping` is set it says its goodbyes and returns.
    """

    def __init__(
        self, name: str, brokers: Sequence[ConnectionParameters], serve: Callable[[Connection], Awaitable[None]]
    ) -> None:
        self._brokers = brokers
        self._serve = serve
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=name, daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self.up = threading.Event()
        """`serve` has all that it needs."""
        self.problem: str | None = None
        """Why not, from the first failure until it is up again."""
        self.mistake: Exception | None = None
        """Why never: it has given up. A ConfigurationError, or a fault of our own."""
        self.stopping: asyncio.Event

    def start(self) -> None:
        """The first call starts the thread."""
        with self._lock:
            if not self._begun.is_set():
                self._thread.start()
                self._begun.wait()

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """On the link's thread, soon; calls keep their order. False where it is closed, or was never started."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)
            return self._loop is not None

    def established(self) -> None:
        self.problem = None
        self.up.set()

    def where(self) -> str:
        return ", ".join(f"{each.host}:{each.port}" for each in self._brokers)

    def close(self, timeout_s: float) -> None:
        """Waits for the goodbyes, so long at most."""
        if self._begun.is_set():
            self.call(self.stopping.set)
            self._thread.join(timeout_s)

    async def until_over(self, *others: "asyncio.Future[Any]", timeout_s: float | None = None) -> None:
        """Returns when the link is to stop, when one of `others` is done, or when the time is up."""
        stopping: asyncio.Future[Any] = asyncio.ensure_future(self.stopping.wait())
        try:
            await asyncio.wait([stopping, *others], timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()

    async def _run(self) -> None:
        self.stopping = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._begun.set()
        failures = 0
        while not self.stopping.is_set() and self.mistake is None:
            try:
                await self._once()
            except (AMQPError, UnavailableError, OSError) as error:
                self.problem = str(error) or repr(error)
            except Exception as error:  # noqa: BLE001 - whoever waits for it is told
                self.mistake = error
            failures = 0 if self.up.is_set() else failures + 1
            self.up.clear()
            if self.problem is not None:
                await self.until_over(timeout_s=backoff_s(max(failures, 1), _RETRY_MIN_S, _RETRY_MAX_S))
        with self._lock:
            self._loop = None

    async def _once(self) -> None:
        attempt = asyncio.ensure_future(connect(self._brokers))
        await self.until_over(attempt)
        if not attempt.done():
            attempt.cancel()
            return
        connection = attempt.result()
        try:
            await self._serve(connection)
        finally:
            if not self.stopping.is_set() and connection.closed.done():
                self.problem = str(connection.closed.result())
            await connection.close(_GOODBYE_S)
