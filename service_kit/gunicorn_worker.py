"""A worker class for gunicorn (`worker_class`) that no slow client holds up, and that always answers probes."""

import logging
import multiprocessing
import re
import selectors
import socket
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from gunicorn import http  # type: ignore[import-untyped]
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]
from gunicorn.http.unreader import SocketUnreader  # type: ignore[import-untyped]

from service_kit.gunicorn_balance import BalancedWorker
from service_kit.unreadable_requests import HEAD_TOO_LARGE, TIMEOUT, ProblemAnswers, Refusal

logger = logging.getLogger("service_kit")

_LIVE, _HEALTH, _METRICS = b"/health/live", b"/health/", b"/metrics"
_PART = 65_536
_LINGER_S = 2.0
_LONGEST_HEAD = 65_536
# A line feed alone is refused at once.
_END_OF_HEAD = re.compile(rb"\r\n\r\n|(?<!\r)\n")


class BoundedUnreader(SocketUnreader):  # type: ignore[misc]
    """Reads of a socket until `deadline`, which is an instant of time.monotonic. Raises TimeoutError after it."""

    deadline = 0.0

    def chunk(self, size_hint: int | None = None) -> bytes:
        before = self.sock.gettimeout()
        remaining = self.deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("the request did not arrive in time")
        # gunicorn has a limit of its own for what nobody has read.
        self.sock.settimeout(remaining if before is None else min(before, remaining))
        try:
            received: bytes = super().chunk(size_hint)
        finally:
            self.sock.settimeout(before)
        return received


@dataclass(slots=True)
class _Head:
    """What has arrived of a request's head."""

    deadline: float
    received: bytearray = field(default_factory=bytearray)
    searched: int = 0

    def add(self, part: bytes) -> None:
        self.searched = max(0, len(self.received) - 3)
        self.received += part

    @property
    def is_whole(self) -> bool:
        return _END_OF_HEAD.search(self.received, self.searched) is not None


@dataclass(slots=True)
class _Lingering:
    """A connection that is answered, and not yet closed."""

    deadline: float
    drained: int = 0


# Made before the workers are forked, so that all of them share it. The first to find a wrong setting says it.
_FIRST_TO_SAY = multiprocessing.get_context("fork").Lock()


class HealthThreadWorker(ProblemAnswers, BalancedWorker):
    """gunicorn's threads, and some that serve `/health/` and `/metrics` alone.

    A connection takes a thread only once the head of its request is complete: a client that never finishes one holds
    up nobody, and gets a 408 after `read_timeout_s`. A body has as long again, and so has each part of the answer to
    be taken. Requests that wait for a lock or a server hold their threads all the same, and an orchestrator that gets
    no answer from `/health/live` would kill a process that is well: health checks have threads of their own, and no
    body. So have scrapes of `/metrics`, which ask servers, and together take one thread. Behind TLS, which this class
    does not look into, none of this holds.
    """

    read_timeout_s: float = 20

    def init_process(self) -> None:
        # Each has its own: readiness asks the database, which may hang.
        self._live_pool = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._ready_pool = ThreadPoolExecutor(1, thread_name_prefix="ready")
        self._metrics_pool = ThreadPoolExecutor(1, thread_name_prefix="metrics")
        self._heads: dict[Any, _Head] = {}
        self._lingering: dict[Any, _Lingering] = {}
        super().init_process()

    def load_wsgi(self) -> None:
        """End gunicorn, with its code for an application that can't be loaded, where a setting is wrong."""
        try:
            super().load_wsgi()
        except ImproperlyConfigured as error:
            if _FIRST_TO_SAY.acquire(block=False):
                logger.critical("settings.wrong", extra={"error": str(error)})
            sys.exit(Arbiter.APP_LOAD_ERROR)

    def enqueue_req(self, conn: Any) -> None:
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        conn.sock.setblocking(False)
        if conn.parser is None:
            conn.parser = http.get_parser(self.cfg, conn.sock, conn.client)
            conn.parser.unreader = BoundedUnreader(conn.sock)
            conn.data_ready = True
        # A request may have been read ahead, behind another one.
        self._receive(conn, ahead=conn.parser.unreader.take_buffered())

    def _receive(self, conn: Any, _sock: object = None, *, ahead: bytes = b"") -> None:
        """Read what there is of a head, and hand the connection to a thread once it is complete."""
        has_ended = False
        received = ahead
        try:
            part = conn.sock.recv(_PART)
            has_ended = not part
            received += part
        except BlockingIOError:
            pass
        except OSError:
            # Closed by now: a thread finds that out, and tidies up.
            has_ended = True
        head = self._heads.get(conn)
        if head is None:
            if not received and not has_ended:
                self._await_data(conn)
                return
            head = self._heads[conn] = _Head(time.monotonic() + self.read_timeout_s)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive, conn))
        head.add(received)
        if has_ended or head.is_whole:
            self._forget(conn)
            self._serve(conn, bytes(head.received))
        elif len(head.received) > _LONGEST_HEAD:
            self._end(conn, HEAD_TOO_LARGE)

    def _forget(self, conn: Any) -> None:
        del self._heads[conn]
        self.poller.unregister(conn.sock)

    def _end(self, conn: Any, refusal: Refusal) -> None:
        self._forget(conn)
        self.refuse(conn.sock, conn.client, refusal)
        self._linger(conn)

    def _serve(self, conn: Any, head: bytes) -> None:
        conn.parser.unreader.unread(head)
        pool, body_s = self._threads_for(head)
        served: Future[Any] = pool.submit(self._handle_within, body_s, conn)
        served.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _threads_for(self, head: bytes) -> tuple[ThreadPoolExecutor, float]:
        """The pool, and the seconds that a body has to arrive."""
        _method, _, target = head.lstrip().partition(b" ")
        if target.startswith(_LIVE):
            return self._live_pool, 0
        if target.startswith(_HEALTH):
            return self._ready_pool, 0
        if target.startswith(_METRICS):
            return self._metrics_pool, 0
        return self.tpool, self.read_timeout_s

    def _handle_within(self, body_s: float, conn: Any) -> Any:
        conn.parser.unreader.deadline = time.monotonic() + body_s
        return self.handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        conn.sock.settimeout(self.read_timeout_s)
        try:
            return super().handle_request(req, conn)
        except TimeoutError:
            self.log.info("http.timeout", extra={"client": conn.client[0] if conn.client else ""})
            return False

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        if self.cfg.is_ssl or (not fs.cancelled() and fs.exception() is None and fs.result()):
            super().finish_request(conn, fs)
        else:
            self._linger(conn)

    def _linger(self, conn: Any) -> None:
        """Close after the client has, or has had the time to read the answer (RFC 9112, section 9.6).

        gunicorn waits for that in its loop, and no other connection is served meanwhile.
        """
        conn.sock.setblocking(False)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(conn)
            return
        self._lingering[conn] = _Lingering(time.monotonic() + _LINGER_S)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Any, _sock: object) -> None:
        lingering = self._lingering[conn]
        try:
            part = conn.sock.recv(_PART)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        lingering.drained += len(part)
        if not part or lingering.drained > _PART:
            self._end_lingering(conn)

    def _end_lingering(self, conn: Any) -> None:
        del self._lingering[conn]
        self.poller.unregister(conn.sock)
        self._close(conn)

    def _close(self, conn: Any) -> None:
        self.nr_conns -= 1
        conn.close()

    def _await_data(self, conn: Any) -> None:
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def murder_pending(self) -> None:
        super().murder_pending()
        now = time.monotonic()
        for conn in [conn for conn, head in self._heads.items() if head.deadline <= now]:
            self._end(conn, TIMEOUT)
        for conn in [conn for conn, lingering in self._lingering.items() if lingering.deadline <= now]:
            self._end_lingering(conn)
