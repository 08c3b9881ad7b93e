"""Divides the connections evenly among gunicorn's worker processes.

All workers accept from one socket, and whichever wakes first takes what waits there: sixteen connections that a gateway
keeps open may all end up with one process, and stay. Here the worker with the fewest open connections accepts, and one
that has more than its share ends some: with `Connection: close` on an answer, so that no request is lost.

The workers know each other's counts from memory that they share. What is there decides who accepts first, and never
whether: a worker that was killed or hangs delays a connection by `_PATIENCE_S` at most.
"""

import mmap
import time
from itertools import count
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

_WORKERS = 1024
# A worker's loop says at least once a second that it runs.
_SILENT_S = 2.0
_PAUSE_S = 0.005
_PATIENCE_S = 0.25
_BETWEEN_CLOSINGS_S = 0.05


class ConnectionCounts:
    """The open connections of each worker process that accepts. To be made before the workers are forked.

    Each worker writes its own two numbers, each in one aligned store, and reads the others': no lock, which a killed
    process would keep.
    """

    def __init__(self, workers: int = _WORKERS) -> None:
        self._connections = memoryview(mmap.mmap(-1, 8 * workers)).cast("q")
        self._reported_s = memoryview(mmap.mmap(-1, 8 * workers)).cast("d")
        self._numbers = memoryview(mmap.mmap(-1, 8)).cast("q")

    def reserve(self, number: int) -> None:
        """Make room for a new worker. Only the process that forks them calls this."""
        self.leave(number)
        self._numbers[0] = max(self._numbers[0], number + 1)

    def report(self, number: int, connections: int) -> None:
        """Say that the worker accepts, and how many connections it has."""
        self._connections[number] = connections
        self._reported_s[number] = time.monotonic()

    def leave(self, number: int) -> None:
        """Say that the worker accepts no more."""
        self._reported_s[number] = 0.0

    def excess(self, number: int, connections: int) -> int:
        """Return how many connections more than the least loaded of the others a worker has; 0 if there is no other."""
        since_s = time.monotonic() - _SILENT_S
        others = [
            self._connections[other]
            for other in range(self._numbers[0])
            if other != number and self._reported_s[other] >= since_s
        ]
        return connections - min(others) if others else 0


# The master imports this module; all workers, those of a reload too, share what it has made.
_COUNTS = ConnectionCounts()


def assign_number(server: Any, worker: Any) -> None:
    """`pre_fork`: the smallest one that no living worker has."""
    taken = {other.number for other in server.WORKERS.values()}
    worker.number = next(number for number in count() if number not in taken)
    _COUNTS.reserve(worker.number)


class BalancedWorker(ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, with the share of this process in the connections. Needs the hook `assign_number`."""

    number: int
    _closes_next_s = 0.0
    _listens_again_s: float | None = None
    """When to look at the listening sockets again that were left to the other workers."""
    _left_to_others_s = 0.0
    _waiting_since_s = 0.0

    def notify(self) -> None:
        super().notify()
        if self._accepting:
            _COUNTS.report(self.number, self.nr_conns)

    def set_accept_enabled(self, enabled: bool) -> None:
        self._listen_again()
        super().set_accept_enabled(enabled)
        if not enabled:
            _COUNTS.leave(self.number)

    def accept(self, listener: Any) -> None:
        if _COUNTS.excess(self.number, self.nr_conns) > 0 and self._leave_to_others():
            return
        super().accept(listener)
        _COUNTS.report(self.number, self.nr_conns)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        if self._listens_again_s is None:
            super().wait_for_and_dispatch_events(timeout)
            return
        remaining_s = max(0.0, self._listens_again_s - time.monotonic())
        super().wait_for_and_dispatch_events(min(timeout, remaining_s))
        if self._listens_again_s is not None and time.monotonic() >= self._listens_again_s:
            self._listen_again()

    def _leave_to_others(self) -> bool:
        """Look away from the listening sockets for a moment; False if that has been so for too long."""
        now_s = time.monotonic()
        if now_s - self._left_to_others_s > 4 * _PAUSE_S:
            # Nothing was waiting in between.
            self._waiting_since_s = now_s
        if now_s - self._waiting_since_s > _PATIENCE_S:
            return False
        self._left_to_others_s = now_s
        if self._listens_again_s is None:
            self._listens_again_s = now_s + _PAUSE_S
            for listener in self.sockets:
                self.poller.unregister(listener)
        return True

    def _listen_again(self) -> None:
        if self._listens_again_s is not None:
            self._listens_again_s = None
            self._accepting = False
            super().set_accept_enabled(True)

    def handle_request(self, req: Any, conn: Any) -> Any:
        if self._has_too_many() and not conn.parser.unreader.buf.getvalue():
            req.force_close()
        return super().handle_request(req, conn)

    def _has_too_many(self) -> bool:
        """Whether to end a connection now: one after the other, and none that would only change places."""
        now_s = time.monotonic()
        if now_s < self._closes_next_s:
            return False
        self._closes_next_s = now_s + _BETWEEN_CLOSINGS_S
        return _COUNTS.excess(self.number, self.nr_conns) > 1
