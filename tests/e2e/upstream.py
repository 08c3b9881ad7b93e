"""A stand-in for both services behind a gateway: it says what reached it, and answers when it is let to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream:
    """`port` is where it listens. While `gate` is not set, requests hang; `waiting` says how many do."""

    def __init__(self) -> None:
        self.port = 0
        self.gate = threading.Event()
        self.gate.set()
        self._lock = threading.Lock()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        with self._lock:
            return self._waiting

    def wait(self) -> None:
        with self._lock:
            self._waiting += 1
        self.gate.wait(30)
        with self._lock:
            self._waiting -= 1


@contextmanager
def running() -> Iterator[Upstream]:
    upstream = Upstream()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            upstream.wait()
            headers = [[name, value] for name, value in self.headers.items()]
            body = json.dumps({"path": self.path, "headers": headers}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            # What Django says by itself.
            self.send_header("X-Frame-Options", "SAMEORIGIN")
            self.send_header("Strict-Transport-Security", "max-age=1")
            self.send_header("X-Powered-By-Nobody", "passed on")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    upstream.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield upstream
    finally:
        upstream.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
