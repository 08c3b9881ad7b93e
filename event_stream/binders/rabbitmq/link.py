"""A thread that keeps a connection to RabbitMQ: heartbeats go on whatever the rest of the process does."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pika import ConnectionParameters
from pika.exceptions import AMQPError

from event_stream.binders.rabbitmq.channel import Connection, connect
from event_stream.errors import UnavailableError
from event_stream.retry import backoff_s

_RETRY_MIN_S, _RETRY_MAX_S = 0.1, 1.0
_GOODBYE_S = 0.5


class Link:
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
