"""Awaitable wrappers of pika's connections and channels, and a thread that keeps a connection up."""

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

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 1.0
_GOODBYE_S = 0.5


class Channel:
    """An open channel. An error on it closes only this channel. `closed` resolves to the reason."""

    def __init__(self, raw: PikaChannel, closed: "asyncio.Future[BaseException]") -> None:
        self.raw = raw
        self.closed = closed
        raw.add_on_close_callback(lambda _channel, reason: _end(closed, reason))

    async def ask(self, method: str, **arguments: Any) -> Any:
        """Call a method of pika's channel and return the broker's answer. Raises pika's AMQPError, as for a refusal."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        getattr(self.raw, method)(**arguments, callback=lambda frame: _end(answer, frame.method))
        await asyncio.wait([answer, self.closed], return_when=asyncio.FIRST_COMPLETED)
        if not answer.done():
            raise self.closed.result()
        return answer.result()

    async def close(self) -> None:
        """Close the channel. Its unacknowledged messages return to their queues."""
        if self.raw.is_open:
            self.raw.close()
        await self.closed


class Connection:
    """An open connection. `closed` resolves to the reason."""

    def __init__(self, raw: AsyncioConnection, closed: "asyncio.Future[BaseException]") -> None:
        self._raw = raw
        self.closed = closed

    async def channel(self) -> Channel:
        """Open a channel. Raises pika's AMQPError."""
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[PikaChannel] = loop.create_future()
        self._raw.channel(on_open_callback=lambda channel: _end(opened, channel))
        await asyncio.wait([opened, self.closed], return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            raise self.closed.result()
        return Channel(opened.result(), loop.create_future())

    async def close(self, timeout_s: float) -> None:
        """Close in order if the broker answers within `timeout_s`; cut the connection off otherwise."""
        if self._raw.is_open:
            self._raw.close()
        await asyncio.wait([self.closed], timeout=timeout_s)
        if not self.closed.done():
            self.abort()
            await self.closed

    def abort(self) -> None:
        """Cut the connection off: data still in transit never arrives, so it can't overtake anything sent later."""
        if not self.closed.done():
            # pika (1.4.4) does this when heartbeats are missing; its public methods wait for the broker to close.
            self._raw._terminate_stream(StreamLostError("RabbitMQ no longer answers"))


async def connect(choices: Sequence[ConnectionParameters]) -> Connection:
    """Connect to the first of these brokers that accepts the connection. Raises the error of the last one."""
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


class ConnectionThread:
    """Runs `serve(connection)` on a thread of its own, and reconnects with growing pauses until `close`.

    Heartbeats continue whatever the rest of the process does. `serve` prepares what it needs, calls `established`, and
    returns or raises when the connection or its channel is closed. Once `stopping` is set, `serve` cleans up and
    returns.
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
        """Set while `serve` is ready."""
        self.problem: str | None = None
        """The reason for being down, from the first failure until it is up again."""
        self.fatal_error: Exception | None = None
        """The error that ended the thread for good: a ConfigurationError, or a bug."""
        self.stopping: asyncio.Event

    def start(self) -> None:
        """Start the thread, unless it runs already."""
        with self._lock:
            if not self._begun.is_set():
                self._thread.start()
                self._begun.wait()

    def call(self, function: Callable[..., object], *arguments: object) -> bool:
        """Schedule a call on this thread; calls keep their order. False if it is closed or was never started."""
        with self._lock:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(function, *arguments)
            return self._loop is not None

    def established(self) -> None:
        self.problem = None
        self.up.set()

    def where(self) -> str:
        return ", ".join(f"{broker.host}:{broker.port}" for broker in self._brokers)

    def close(self, timeout_s: float) -> None:
        """Stop, and wait up to `timeout_s` for `serve` to clean up."""
        if self._begun.is_set():
            self.call(self.stopping.set)
            self._thread.join(timeout_s)

    async def until_over(self, *others: "asyncio.Future[Any]", timeout_s: float | None = None) -> None:
        """Return when the thread has to stop, when one of `others` is done, or when the time is up."""
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
        while not self.stopping.is_set() and self.fatal_error is None:
            try:
                await self._once()
            except (AMQPError, UnavailableError, OSError) as error:
                self.problem = str(error) or repr(error)
            except Exception as error:  # noqa: BLE001 - `fatal_error` reports it
                self.fatal_error = error
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
