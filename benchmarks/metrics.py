"""What metrics cost: lookups and updates with METRICS on and off, in turn; and scrapes of an outbox of 1,000,000 rows.

Each of the two is a gunicorn of its own with deploy/gunicorn/gunicorn.conf.py, on the same PostgreSQL, Valkey and
Kafka. A relay of its own sends, so that it costs both the same.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import http_load, measure, stage
from benchmarks.lookup import Contestant, Round
from devstack import ServiceCluster
from devstack.cluster import relay, web
from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.ports import free_port


@dataclass(frozen=True, slots=True)
class Duel:
    """The same service twice."""

    name: str
    on: Contestant
    off: Contestant

    def rounds(
        self, requests: Sequence[http_load.Request], rounds: int, seconds: float, warm_up_s: float
    ) -> list[tuple[Round, Round]]:
        for contestant in (self.on, self.off):
            contestant.play(requests, warm_up_s)
        pairs = []
        for number in range(rounds):
            # They take turns to begin: a machine that gets slower costs both the same.
            first, second = (self.on, self.off) if number % 2 else (self.off, self.on)
            played = {contestant.name: contestant.play(requests, seconds) for contestant in (first, second)}
            pairs.append((played[self.on.name], played[self.off.name]))
        return pairs


@contextmanager
def duel(
    platform: ServiceCluster, folder: Path, project: Project, name: str, settings: dict[str, str]
) -> Iterator[Duel]:
    contestants = []
    with ExitStack() as stack:
        for metrics in ("true", "false"):
            port = free_port()
            label = f"{name}, metrics {'on' if metrics == 'true' else 'off'}"
            process = web(project, label.replace(" ", "-"), {**settings, "METRICS": metrics}, port=port, folder=folder)
            contestants.append(Contestant(label, stack.enter_context(process), port))
        yield Duel(name, *contestants)


def row(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    latencies_s = [each for of in rounds for each in of.outcome.latencies_s]
    return {
        "": name,
        "answers/s": statistics.median(of.outcome.per_s for of in rounds),
        "p50 ms": measure.percentile(latencies_s, 50) * 1000,
        "p99 ms": measure.percentile(latencies_s, 99) * 1000,
        "CPU ms": statistics.median(of.cpu_ms for of in rounds),
        "errors": sum(of.outcome.errors for of in rounds),
    }


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
    rows, conclusions = [], {}
    with stage.running() as (platform, folder), ExitStack() as stack:
        made = stage.customers(platform, customers)
        # The embedded relay of the platform's own service would be one more that leads now and then.
        platform.organization.stop()
        organization = {**platform.organization_settings, "OUTBOX_EMBEDDED": "false"}
        sender = relay("relay", organization, folder=folder).start()
        stack.callback(sender.stop)
        updates = [customer.change(number) for number in range(10) for customer in made]
        licensing = {**platform.licensing_settings}
        services = stack.enter_context(duel(platform, folder, ORGANIZATION, "updates", organization))
        licensing["ORGANIZATION_SERVICE_URL"] = f"http://127.0.0.1:{services.on.port}"
        lookups = stack.enter_context(duel(platform, folder, LICENSING, "lookups", licensing))
        for contest, requests in ((lookups, [customer.look_up() for customer in made]), (services, updates)):
            pairs = contest.rounds(requests, rounds, seconds, warm_up_s)
            rows += [row(contest.on.name, [a for a, _ in pairs]), row(contest.off.name, [b for _, b in pairs])]
            conclusions[f"{contest.name}/s, on / off"] = measure.spread(
                a.outcome.per_s / b.outcome.per_s for a, b in pairs
            )
            conclusions[f"{contest.name}, CPU on / off"] = measure.spread(a.cpu_ms / b.cpu_ms for a, b in pairs)
        sender.stop()
        url = f"http://127.0.0.1:{services.on.port}"
        conclusions["a scrape"] = scrapes(url, 20)
        fill_outbox(platform, waiting)
        conclusions[f"a scrape with {waiting:,} waiting rows"] = scrapes(url, 20)
    measure.show(options, where, rows, conclusions)


if __name__ == "__main__":
    main()
