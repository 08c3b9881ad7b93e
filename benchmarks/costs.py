"""What it costs to see what goes on: metrics, OpenTelemetry, and the worker's records for the trace."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import psycopg

from benchmarks import worker
from benchmarks.figures import Figure, Ratio, Series
from benchmarks.measure import interleaved
from benchmarks.stage import Stage
from benchmarks.variants import lookups_and_updates


def metrics(stage: Stage) -> list[Figure]:
    """Lookups and updates with METRICS on and off, and scrapes of an outbox with many rows that wait."""
    waiting, times = stage.pick(10_000, 1_000_000), stage.pick(3, 20)
    variants = {"metrics off": {"METRICS": "false"}, "metrics on": {"METRICS": "true"}}
    with lookups_and_updates(stage, "What metrics cost", variants) as (figures, ports):
        url = f"http://127.0.0.1:{ports['metrics on']}/metrics"
        stage.announce("scrapes")
        few = _scrapes_ms(url, times)
        with psycopg.connect(stage.services().organization_settings["DATABASE_URL"], autocommit=True) as connection:
            # Parked, so that no relay sends them.
            connection.execute(
                """
                INSERT INTO event_stream_outbox (event_id, binding, key, payload, headers, correlation_id, parked_at)
                SELECT gen_random_uuid(), 'outboundOrgChanges', n::text, '{}', '{}', n::text, now()
                FROM generate_series(1, %s) AS n
                """,
                [waiting],
            )
            many = _scrapes_ms(url, times)
            connection.execute("DELETE FROM event_stream_outbox WHERE parked_at IS NOT NULL")
    scrapes = [Series("usual", few), Series(f"with {waiting:,} rows", many)]
    return [*figures, Figure("A scrape of the metrics", "ms", scrapes)]


def _scrapes_ms(url: str, times: int) -> list[float]:
    took_ms = []
    with httpx.Client(timeout=60, trust_env=False) as client:
        for _ in range(times):
            began_s = time.perf_counter()
            client.get(url).raise_for_status()
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return took_ms


def traces(stage: Stage) -> list[Figure]:
    """Lookups and updates without OpenTelemetry, at 1 % and at 100 %; a receiver throws the spans away.

    Reads are sampled at that ratio; updates are traced whenever traces are on at all.
    """
    with _receiver() as endpoint:
        variants = {"traces off": {}, "traces 1 %": _traced(endpoint, "0.01"), "traces 100 %": _traced(endpoint, "1")}
        if stage.pick(True, False):
            del variants["traces 1 %"]
        with lookups_and_updates(stage, "What traces cost", variants) as (figures, _):
            return figures


def _traced(endpoint: str, ratio: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": ratio,
    }


@contextmanager
def _receiver() -> Iterator[str]:
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


def records(stage: Stage) -> list[Figure]:
    """The worker with a backlog, with its rows for the trace and without."""
    rounds, rows = stage.pick((2, 2_000), (7, 100_000))
    platform = worker.fill(stage, rows)
    stage.announce(f"{rounds} backlogs of {rows:,} changes")
    played = interleaved(
        {
            name: partial(worker.drain, platform, {"TRACE_RECORD": record})
            for name, record in (("recording", "true"), ("without", "false"))
        },
        rounds,
    )
    series = [
        Series(
            name,
            [rows / drain.took_s for drain in drains],
            {"CPU µs": statistics.median(drain.cpu_s for drain in drains) / rows * 1e6},
        )
        for name, drains in played.items()
    ]
    pairs = list(zip(played["recording"], played["without"], strict=True))
    ratios = [
        Ratio("recording / without", [b.took_s / a.took_s for a, b in pairs]),
        Ratio("CPU: recording / without", [a.cpu_s / b.cpu_s for a, b in pairs]),
    ]
    return [Figure("What the worker's records for the trace cost", "changes/s", series, ratios)]
