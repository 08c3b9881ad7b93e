"""A small real HTTP server in the organization service's place, for what happens at the seam."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid5

from tests.security.certificates import Pair

NASA = str(uuid5(UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8"), "https://example.org/organizations/nasa"))

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class OrganizationService:
    """Answers for the organizations it has, or with `behaviour` where one is set. Remembers what it was asked."""

    url: str = ""
    organizations: dict[str, dict[str, Any]] = field(default_factory=dict)
    version: int = 1000
    behaviour: Answer | None = None
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, organization_id: str, **fields: Any) -> int:
        """Make or change an organization; its new version."""
        self.version += 1
        self.organizations[organization_id] = {
            "id": organization_id,
            "name": "NASA",
            "contactName": "James Webb",
            "contactEmail": "webb@example.org",
            "contactPhone": "+1 202 555 0100",
            **fields,
        }
        return self.version

    def remove(self, organization_id: str) -> None:
        self.version += 1
        del self.organizations[organization_id]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.requests.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        if self.behaviour is not None:
            self.behaviour(handler)
            return
        organization = self.organizations.get(handler.path.removeprefix("/v1/organization/"))
        reply(
            handler,
            200 if organization else 404,
            json.dumps(organization or {"title": "Not found"}).encode(),
            {"Organization-Version": str(self.version), "Content-Type": "application/json"},
        )


def as_java(service: OrganizationService) -> Answer:
    """A behaviour: what the book's own service answers, without versions, and 200 without a body for an absence."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        organization = service.organizations.get(handler.path.removeprefix("/v1/organization/"))
        body = json.dumps(organization).encode() if organization else b""
        reply(handler, 200, body, {"Content-Type": "application/json"} if organization else {})

    return answer


def reply(handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
    """A whole answer."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def answering(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
    """A behaviour: always this."""
    return lambda handler: reply(handler, status, body, headers)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is what some tests are about."""


@contextmanager
def running(tls: Pair | None = None) -> Iterator[OrganizationService]:
    """The service on a free port of 127.0.0.1. `tls`: the certificate that it presents, for https."""
    service = OrganizationService()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            service.answer(self)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls.certificate, tls.key)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        service.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
        yield service
        server.shutdown()
        thread.join()
