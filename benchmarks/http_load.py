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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SILENCE_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """`expected` are members that the JSON of a right answer (status 200) has."""

    method: str
    path: str
    expected: Mapping[str, Any]
    body: str = ""

    def encoded(self, host: str) -> bytes:
        head = f"{self.method} {self.path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n"
        if self.body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(self.body.encode())}\r\n"
        return f"{head}\r\n{self.body}".encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """`errors` are wrong or missing answers, which are not among the `answers`. Times in seconds."""

    answers: int
    errors: int
    took_s: float
    latencies_s: list[float]
    first_error: str = ""

    @property
    def per_s(self) -> float:
        return self.answers / self.took_s


def run(port: int, requests: Sequence[Request], *, connections: int, seconds: float) -> Outcome:
    """Let a process of its own ask 127.0.0.1:`port`, each time for one of `requests`."""
    order = {
        "port": port,
        "connections": connections,
        "seconds": seconds,
        "requests": [asdict(request) for request in requests],
    }
    argv = [sys.executable, str(Path(__file__))]
    done = subprocess.run(argv, input=json.dumps(order), check=True, stdout=subprocess.PIPE, text=True)
    return Outcome(**json.loads(done.stdout))


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    buffer: bytes = b""
    request: int = 0
    sent_s: float = 0.0


class _Load:
    def __init__(self, port: int, requests: Sequence[Request]) -> None:
        self.port = port
        self.requests = requests
        self.latencies_s: list[float] = []
        self.errors = 0
        self.first_error = ""
        self._encoded = [request.encoded(f"127.0.0.1:{port}") for request in requests]
        # Bodies that have been found right already: reading JSON is not what is to be measured.
        self._right: list[set[bytes]] = [set() for _ in requests]
        self._dice = random.Random(10)

    def run(self, connections: int, seconds: float) -> Outcome:
        selector = selectors.DefaultSelector()
        opened = [_Connection(socket.create_connection(("127.0.0.1", self.port))) for _ in range(connections)]
        began_s = time.perf_counter()
        ends_s = began_s + seconds
        for connection in opened:
            connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            self._send(connection)
        while time.perf_counter() < ends_s and selector.get_map():
            ready = selector.select(_SILENCE_S)
            if not ready:
                self._fail("no answer for a long time")
                break
            for key, _ in ready:
                if self._receive(key.data):
                    self._send(key.data)
                elif key.data.request < 0:
                    selector.unregister(key.data.socket)
        took_s = time.perf_counter() - began_s
        for connection in opened:
            connection.socket.close()
        return Outcome(len(self.latencies_s), self.errors, took_s, self.latencies_s, self.first_error)

    def _send(self, connection: _Connection) -> None:
        connection.request = self._dice.randrange(len(self._encoded))
        connection.sent_s = time.perf_counter()
        connection.socket.sendall(self._encoded[connection.request])

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
        if self._is_right(connection.request, head, body):
            self.latencies_s.append(elapsed_s)
        return True

    def _is_right(self, number: int, head: bytes, body: bytes) -> bool:
        if not head.startswith(b"HTTP/1.1 200 "):
            self._fail(head.partition(b"\r\n")[0].decode() + " " + body[:200].decode(errors="replace"))
            return False
        if body in self._right[number]:
            return True
        answer = json.loads(body)
        expected = self.requests[number].expected
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
    load = _Load(order["port"], [Request(**request) for request in order["requests"]])
    json.dump(asdict(load.run(order["connections"], order["seconds"])), sys.stdout)


if __name__ == "__main__":
    main()
