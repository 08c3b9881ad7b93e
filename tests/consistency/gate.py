"""An HTTP proxy that can hold an answer back: the organization was read, and the reader does not have it yet."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

import httpx

_PASSED_ON = ("Content-Type", "ETag", "Organization-Version")


class Held:
    """One answer: `in_hand` once the origin has given it, passed on once `go` is set."""

    def __init__(self) -> None:
        self.in_hand = threading.Event()
        self.go = threading.Event()


class Gate:
    """Stands before the organization service at `url`."""

    def __init__(self, origin_url: str, patience_s: float) -> None:
        self._origin = httpx.Client(base_url=origin_url, timeout=patience_s)
        self._patience_s = patience_s
        self._held: dict[str, Held] = {}
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                gate._pass_on(self)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def hold(self, organization_id: str) -> Held:
        """Hold the next answer about this organization."""
        held = self._held[organization_id] = Held()
        return held

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._origin.close()

    def _pass_on(self, handler: BaseHTTPRequestHandler) -> None:
        answer = self._origin.get(handler.path, headers={"Accept": "application/json"})
        held = self._held.pop(handler.path.rpartition("/")[2], None)
        if held is not None:
            held.in_hand.set()
            held.go.wait(self._patience_s)
        handler.send_response(answer.status_code)
        for name in _PASSED_ON:
            if name in answer.headers:
                handler.send_header(name, answer.headers[name])
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)
