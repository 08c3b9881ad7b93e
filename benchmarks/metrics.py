"""What metrics cost: lookups and updates with METRICS on and off, in turn; and scrapes of an outbox of 1,000,000 rows.

Each of the two is a gunicorn of its own with deploy/gunicorn/gunicorn.conf.py, on the same PostgreSQL, Valkey and
Kafka. A relay of its own sends, so that it costs both the same.
"""

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measure, stage, variants
from devstack import ServiceCluster

VARIANTS = {"metrics off": {"METRICS": "false"}, "metrics on": {"METRICS": "true"}}


def scrapes(url: str, times: int) -> str:
    """The middle and the slowest, in ms."""
    took_ms = []
    with httpx.Client(timeout=60) as client:
        for _ in range(times):
            began_s = time.perf_counter()
            client.get(f"{url}/metrics").raise_for_status()
            took_ms.append((time.perf_counter() - began_s) * 1000)
    return f"{statistics.median(took_ms):.0f} ms, at most {max(took_ms):.0f}"


def fill_outbox(platform: ServiceCluster, count: int) -> None:
    with psycopg.connect(platform.organization_settings["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO event_stream_outbox (event_id, binding, key, payload, headers, correlation_id)
            SELECT gen_random_uuid(), 'outboundOrgChanges', n::text, '{}', '{}', n::text
            FROM generate_series(1, %s) AS n
            """,
            [count],
        )


def main() -> None:
    options = measure.options(__doc__)
    effort = variants.Effort(5, 2, 1.0, 1.0) if options.quick else variants.Effort(100, 8, 5.0, 5.0)
    waiting = 10_000 if options.quick else 1_000_000
    where = measure.machine()
    with stage.running() as (platform, folder), ExitStack() as stack:
        rows, conclusions, services = variants.lookups_and_updates(platform, folder, stack, VARIANTS, effort)
        url = f"http://127.0.0.1:{services.contestants['metrics on'].port}"
        conclusions["a scrape"] = scrapes(url, 20)
        fill_outbox(platform, waiting)
        conclusions[f"a scrape with {waiting:,} waiting rows"] = scrapes(url, 20)
    measure.show(options, where, rows, conclusions)


if __name__ == "__main__":
    main()
