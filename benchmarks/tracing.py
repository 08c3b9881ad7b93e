"""What OpenTelemetry costs: lookups and updates without traces, at 1 % and at 100 %, in turn.

Reads are sampled at that ratio; updates are traced whenever traces are on at all. A receiver beside them takes the
spans and throws them away. A relay of its own sends, so that it costs all the same.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measure, stage, variants


@contextmanager
def receiver() -> Iterator[str]:
    """Yield the endpoint of a receiver that keeps nothing."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="receiver")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def traced(endpoint: str, ratio: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": ratio,
    }


def main() -> None:
    options = measure.options(__doc__)
    effort = variants.Effort(5, 2, 1.0, 1.0) if options.quick else variants.Effort(100, 5, 3.0, 3.0)
    where = measure.machine()
    with stage.running() as (platform, folder), receiver() as endpoint, ExitStack() as stack:
        shares: dict[str, dict[str, str]] = {
            "traces off": {},
            "traces 1 %": traced(endpoint, "0.01"),
            "traces 100 %": traced(endpoint, "1"),
        }
        rows, conclusions, _services = variants.lookups_and_updates(platform, folder, stack, shares, effort)
    measure.show(options, where, rows, conclusions)


if __name__ == "__main__":
    main()
