"""What metrics cost: lookups and updates with METRICS on and off, in turn; and scrapes of an outbox of 1,000,000 rows.

Each of the two is a gunicorn of its own with deploy/gunicorn/gunicorn.conf.py, on the same PostgreSQL, Valkey and
Kafka. A relay of its own sends, so that it costs both the same.
"""

import statistics
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measure, stage, variants
from devstack import ServiceCluster
from devstack.cluster import relay
from devstack.django_commands import LICENSING, ORGANIZATION

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
    customers, rounds, seconds, warm_up_s, waiting = (
        (5, 2, 1.0, 1.0, 10_000) if options.quick else (100, 8, 5.0, 5.0, 1_000_000)
    )
    where = measure.machine()
    rows: list[dict[str, Any]] = []
    conclusions: dict[str, str] = {}
    with stage.running() as (platform, folder), ExitStack() as stack:
        made = stage.customers(platform, customers)
        # The embedded relay of the platform's own service would be one more that leads now and then.
        platform.organization.stop()
        organization = {**platform.organization_settings, "OUTBOX_EMBEDDED": "false"}
        sender = relay("relay", organization, folder=folder).start()
        stack.callback(sender.stop)
        updates = [customer.change(number) for number in range(10) for customer in made]
        licensing = {**platform.licensing_settings}
        services = stack.enter_context(variants.running(folder, ORGANIZATION, "updates", organization, VARIANTS))
        url = f"http://127.0.0.1:{services.contestants['metrics on'].port}"
        licensing["ORGANIZATION_SERVICE_URL"] = url
        lookups = stack.enter_context(variants.running(folder, LICENSING, "lookups", licensing, VARIANTS))
        for contest, requests in ((lookups, [customer.look_up() for customer in made]), (services, updates)):
            played = contest.rounds(requests, rounds, seconds, warm_up_s)
            rows += contest.rows(played)
            conclusions |= contest.conclusions(played)
        sender.stop()
        conclusions["a scrape"] = scrapes(url, 20)
        fill_outbox(platform, waiting)
        conclusions[f"a scrape with {waiting:,} waiting rows"] = scrapes(url, 20)
    measure.show(options, where, rows, conclusions)


if __name__ == "__main__":
    main()
