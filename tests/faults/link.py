"""A TCP link that a test can cut, slow down, half close, or lead elsewhere: what networks do, on one machine."""

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, cast

from devstack.ports import free_port

_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time to linger: closing is a reset."""


class _End(asyncio.Protocol):
    """One end of a connection: what it hears, it passes on to its peer, late if the link says so."""

    def __init__(self, link: "Link", peer: "_End | None" = None) -> None:
        self._link = link
        self.peer = peer
        self.accepted = peer is None
        self.transport: asyncio.Transport | None = None
        self._late: deque[tuple[float, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._has_heard_all = False
        self.deaf = False
        """What it hears goes nowhere."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._link.ends.add(self)
        if self.accepted:
            # The way on has to be made first.
            self.transport.pause_reading()
            self._link.connect(self)

    def data_received(self, data: bytes) -> None:
        self._pass_on(data)

    def eof_received(self) -> bool:
        # Kept open until the other end has said its last, too.
        self._has_heard_all = True
        self._pass_on(b"")
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self._link.ends.discard(self)
        if self.peer is not None and self.peer.transport is not None:
            self.peer.abort() if error else self.peer.transport.close()

    def abort(self) -> None:
        """A reset, as of a machine that is gone."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def end(self) -> None:
        """Say that nothing more will come, and go on listening."""
        if self.transport is not None and not self.transport.is_closing():
            try:
                self.transport.write_eof()
            except OSError:
                # It was reset while nobody read from it, and has no half left to close.
                self.transport.abort()
            if self._has_heard_all:
                self.transport.close()

    def _pass_on(self, data: bytes) -> None:
        """`data` to the peer; nothing (b"") is the end of it. In order, however the delay changes meanwhile."""
        if self.deaf:
            return
        loop = asyncio.get_running_loop()
        if not self._link.delay_s and not self._late:
            self._give(data)
            return
        self._late.append((loop.time(), data))
        if self._timer is None:
            self.deliver()

    def deliver(self) -> None:
        """What has waited for long enough."""
        loop, delay_s = asyncio.get_running_loop(), self._link.delay_s
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._late and self._late[0][0] + delay_s <= loop.time():
            self._give(self._late.popleft()[1])
        if self._late:
            self._timer = loop.call_at(self._late[0][0] + delay_s, self.deliver)

    def _give(self, data: bytes) -> None:
        if self.peer is None or self.peer.transport is None or self.peer.transport.is_closing():
            return
        if data:
            self.peer.transport.write(data)
        else:
            self.peer.end()


class Link:
    """From a port of its own to `target` (host:port). Runs from its making on, closed until `open` or `with`."""

    def __init__(self, target: str) -> None:
        self.port = free_port()
        self.delay_s = 0.0
        self.ends: set[_End] = set()
        self._target = target
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._connecting: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"link to {target}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.ends) // 2

    def open(self) -> None:
        """Pass on whoever connects from now on."""
        self._run(self._listen())

    def cut(self) -> None:
        """Reset every connection and refuse new ones, until `open`."""

        async def cut() -> None:
            if self._server is not None:
                for listening in self._server.sockets:
                    self._loop.remove_reader(listening.fileno())
                # Whoever was accepted in this turn becomes a connection in the next one, which a closed server leaves
                # half made (its _attach asserts that it is open).
                await asyncio.sleep(0)
                self._server.close()
                self._server = None
            self._abort()
            # An abort is carried out in the loop's next turn.
            await asyncio.sleep(0)

        self._run(cut())

    def delay(self, seconds: float) -> None:
        """Each piece of data waits for this long, in either direction; those that wait already, too."""

        async def delay() -> None:
            self.delay_s = seconds
            for end in self.ends:
                end.deliver()

        self._run(delay())

    def drop(self) -> None:
        """Reset every connection; new ones are taken."""

        async def drop() -> None:
            self._abort()

        self._run(drop())

    def half_close(self, *, towards_target: bool) -> None:
        """Tell one side of every connection that the other has said its last, whatever it says still."""

        async def half_close() -> None:
            for end in list(self.ends):
                if end.accepted is towards_target and end.peer is not None:
                    end.deaf = True
                    end.peer.end()

        self._run(half_close())

    def lead_to(self, target: str, *, drop: bool = True) -> None:
        """New connections go elsewhere; the old ones are reset, or kept."""
        self._target = target
        if drop:
            self.drop()

    def close(self) -> None:
        self.cut()
        self._run(self._settle())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self, accepted: _End) -> None:
        """Make the way on for an end that was accepted."""
        task = self._loop.create_task(self._connect(accepted))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self, accepted: _End) -> None:
        host, _, port = self._target.rpartition(":")
        made = _End(self, accepted)
        try:
            await self._loop.create_connection(lambda: made, host, int(port))
        except OSError:
            accepted.abort()
            return
        accepted.peer = made
        if accepted.transport is None or accepted.transport.is_closing():
            made.abort()
        else:
            accepted.transport.resume_reading()

    async def _settle(self) -> None:
        """Let connections that are being made or accepted end, so that the loop stops with none open."""
        while (others := asyncio.all_tasks() - {asyncio.current_task()}) or self.ends:
            await asyncio.gather(*others, return_exceptions=True)
            self._abort()
            # An abort is carried out in the loop's next turn.
            await asyncio.sleep(0)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await self._loop.create_server(lambda: _End(self), "127.0.0.1", self.port)

    def _abort(self) -> None:
        for end in list(self.ends):
            end.abort()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)
