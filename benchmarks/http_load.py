"""A load generator that costs little: one thread, raw sockets that are kept open, one request under way on each.

As a process (`python http_load.py`, a JSON object on stdin, the outcome as JSON on stdout), so that it shares nothing
with who measures. Every answer is checked: its status, and its body against what was expected of that request.
"""

import json
import random
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ENDING = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_SILENCE_S = 10.0
_TOO_LONG_S = 300.0


@dataclass(frozen=True, slots=True)
class Request:
    """`expected` are members that the JSON of a right answer (status 200) has; with none, the body is anything."""

    method: str
    path: str
    expected: Mapping[str, Any] = field(default_factory=dict)
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self, host: str) -> bytes:
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", "Accept: application/json"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(self.body.encode())}"]
        return "\r\n".join([*lines, "", self.body]).encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`errors` are wrong or missing answers, which are not among the `answers`. Times in seconds."""

    answers: int
    errors: int
    took_s: float
    latencies_s: list[float]
    first_error: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What to do: for `seconds`, at most `rate_per_s` (0: as many as possible); or each of `requests` just once."""

    port: int
    connections: int
    requests: Sequence[Request]
    seconds: float = 0.0
    rate_per_s: float = 0.0
    each_once: bool = False


def run(order: Order) -> Outcome:
    """Let a process of its own ask 127.0.0.1:`order.port`."""
    with running(order) as child:
        stdout, _ = child.communicate(timeout=order.seconds + _TOO_LONG_S)
    return Outcome(**json.loads(stdout))


@contextmanager
def running(order: Order) -> Iterator[subprocess.Popen[str]]:
    """The same beside what is done in here; killed at the end, if it is not over by then."""
    argv = [sys.executable, str(Path(__file__))]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        try:
            child.stdin.write(json.dumps(asdict(order)))
            child.stdin.close()
            child.stdin = None
            yield child
        finally:
            child.kill()


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    buffer: bytes = b""
    request: int = -1
    sent_s: float = 0.0
    is_ending: bool = False
    """The server closes it after this answer: the next request needs a new one."""


class _Load:
    def __init__(self, order: Order) -> None:
        self.order = order
        self.requests = order.requests
        self.latencies_s: list[float] = []
        self.errors = 0
        self.first_error = ""
        self._encoded = [request.encoded(f"127.0.0.1:{order.port}") for request in order.requests]
        # Bodies that have been found right already: reading JSON is not what is to be measured.
        self._right: list[set[bytes]] = [set() for _ in order.requests]
        self._dice = random.Random(10)
        self._left = list(range(len(order.requests)))
        self._sent = 0
        self._began_s = 0.0

    def run(self) -> Outcome:
        selector = selectors.DefaultSelector()
        opened = [_Connection(self._connect()) for _ in range(self.order.connections)]
        idle = list(opened)
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._began_s = time.perf_counter()
        while True:
            pause_s = self._send_due(idle)
            if len(idle) == len(opened) and self._is_over():
                break
            ready = selector.select(pause_s)
            if not ready and pause_s == _SILENCE_S:
                self._fail("no answer for a long time")
                break
            for key, _ in ready:
                connection = key.data
                if self._receive(connection):
                    idle.append(connection)
                elif connection.request < 0:
                    selector.unregister(connection.socket)
                    opened.remove(connection)
                if connection.is_ending:
                    selector.unregister(connection.socket)
                    connection.socket.close()
                    connection.socket, connection.is_ending = self._connect(), False
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
        took_s = time.perf_counter() - self._began_s
        for connection in opened:
            connection.socket.close()
        return Outcome(len(self.latencies_s), self.errors, took_s, self.latencies_s, self.first_error)

    def _connect(self) -> socket.socket:
        connected = socket.create_connection(("127.0.0.1", self.order.port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def _is_over(self) -> bool:
        if self.order.each_once:
            return not self._left
        return time.perf_counter() >= self._began_s + self.order.seconds

    def _send_due(self, idle: list[_Connection]) -> float:
        """Send on the idle connections what is due by now; return for how long to wait for answers, in seconds."""
        while idle and not self._is_over():
            if self.order.rate_per_s:
                due_s = self._began_s + self._sent / self.order.rate_per_s
                if (early_s := due_s - time.perf_counter()) > 0:
                    return early_s
            self._send(idle.pop())
        return _SILENCE_S

    def _send(self, connection: _Connection) -> None:
        pick = self._left.pop() if self.order.each_once else self._dice.randrange(len(self._encoded))
        connection.request = pick
        connection.sent_s = time.perf_counter()
        connection.socket.sendall(self._encoded[pick])
        self._sent += 1

    def _receive(self, connection: _Connection) -> bool:
        """Whether the answer is complete, right or wrong. A connection that was closed has no request any more."""
        received = connection.socket.recv(65536)
        if not received:
            self._fail("the connection was closed")
            connection.request = -1
            return False
        connection.buffer += received
        head, found, body = connection.buffer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head) if found else None
        if length is None or len(body) < int(length[1]):
            return False
        elapsed_s = time.perf_counter() - connection.sent_s
        connection.buffer = b""
        connection.is_ending = _ENDING.search(head) is not None
        if self._is_right(connection.request, head, body):
            self.latencies_s.append(elapsed_s)
        return True

    def _is_right(self, number: int, head: bytes, body: bytes) -> bool:
        if not head.startswith(b"HTTP/1.1 200 "):
            self._fail(head.partition(b"\r\n")[0].decode() + " " + body[:200].decode(errors="replace"))
            return False
        expected = self.requests[number].expected
        if not expected or body in self._right[number]:
            return True
        answer = json.loads(body)
        wrong = {name: answer.get(name) for name in expected if answer.get(name) != expected[name]}
        if wrong:
            self._fail(f"{self.requests[number].path}: {wrong}")
            return False
        self._right[number].add(body)
        return True

    def _fail(self, why: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or why


def main() -> None:
    order = json.load(sys.stdin)
    order["requests"] = [Request(**request) for request in order["requests"]]
    json.dump(asdict(_Load(Order(**order)).run()), sys.stdout)


if __name__ == "__main__":
    main()
