"""A schema registry that knows what edx-event-bus-kafka asks: register a schema, and give it by its number.

Confluent's own is a Java service under a licence of its own. The library asks once for each schema, so this one has no
part in what is measured.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_SCHEMA = re.compile(r"/schemas/ids/(\d+)")


@contextmanager
def schema_registry() -> Iterator[str]:
    """Yield its URL."""
    schemas: list[str] = []
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = _SCHEMA.match(self.path)
            if found is None:
                # As a registry answers that knows no associations of a topic with other subjects.
                self._answer({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404)
            else:
                self._answer({"schema": schemas[int(found[1]) - 1]})

        def do_POST(self) -> None:
            schema = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
            with lock:
                if schema not in schemas:
                    schemas.append(schema)
                number = schemas.index(schema) + 1
            self._answer({"id": number, "schema": schema, "version": 1, "subject": self.path.split("/")[2]})

        def _answer(self, values: dict[str, Any], status: int = 200) -> None:
            body = json.dumps(values).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, name="schema registry", daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
