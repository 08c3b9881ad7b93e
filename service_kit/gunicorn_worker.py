"""A worker class for gunicorn (`worker_class`) that answers health checks however long its threads are held up."""

import selectors
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from service_kit.unreadable_requests import ProblemAnswers

_LIVE, _HEALTH = b"/health/live", b"/health/"
_PEEKED = 64


class HealthThreadWorker(ProblemAnswers, ThreadWorker):  # type: ignore[misc]
    """gunicorn's threads, and some that serve `/health/` alone.

    Requests that wait for a lock, a server or a slow client hold their threads, and all that come later wait behind
    them. An orchestrator that gets no answer from `/health/live` would then kill a process that is well. A connection
    without a request takes no thread: only what it begins with says which threads it is for. Behind TLS, which this
    class does not look into, health checks share the threads of all.
    """

    def init_process(self) -> None:
        # Each has its own: readiness asks the database, which may hang.
        self._live_pool = ThreadPoolExecutor(1, thread_name_prefix="live")
        self._ready_pool = ThreadPoolExecutor(1, thread_name_prefix="ready")
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        is_new = not conn.initialized and not conn.data_ready
        try:
            beginning: bytes = conn.sock.recv(_PEEKED, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if is_new:
                self._await_data(conn)
                return
            # A request that was read ahead, behind another one.
            beginning = b""
        except OSError:
            # Closed by now: a thread finds that out, and tidies up.
            beginning = b""
        served: Future[Any] = self._pool_for(beginning).submit(self.handle, conn)
        served.add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))

    def _pool_for(self, beginning: bytes) -> ThreadPoolExecutor:
        _method, _, target = beginning.partition(b" ")
        if target.startswith(_LIVE):
            return self._live_pool
        if target.startswith(_HEALTH):
            return self._ready_pool
        pool: ThreadPoolExecutor = self.tpool
        return pool

    def _await_data(self, conn: Any) -> None:
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + self.cfg.keepalive
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))
