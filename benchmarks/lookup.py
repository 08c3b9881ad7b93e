"""License lookups with a cached organization, beside the plain Django REST framework way of writing them.

Both run under gunicorn with deploy/gunicorn/gunicorn.conf.py on the same PostgreSQL and Valkey, and are asked in turn
by the same load generator over connections that are kept open. Ours proves how fresh its answers are and is told of
changes; the plain way (benchmarks/plain_drf) keeps an organization for five minutes, come what may.
"""

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import http_load, measure, stage
from devstack import ServiceCluster, SupervisedProcess
from devstack.environment import ROOT, service_environment
from devstack.ports import accepts, free_port

CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class Round:
    """`cpu_ms` is what the web processes used for one lookup."""

    outcome: http_load.Outcome
    cpu_ms: float


@dataclass(frozen=True, slots=True)
class Contestant:
    name: str
    process: SupervisedProcess
    port: int

    def play(self, requests: Sequence[http_load.Request], seconds: float) -> Round:
        before_s = measure.cpu_s(self.process.pid)
        outcome = http_load.run(self.port, requests, connections=CONNECTIONS, seconds=seconds)
        used_s = measure.cpu_s(self.process.pid) - before_s
        if not outcome.answers:
            raise SystemExit(f"{self.name} gave no right answer: {outcome.first_error}")
        return Round(outcome, used_s / outcome.answers * 1000)


def plain_drf(platform: ServiceCluster, folder: Path) -> Contestant:
    port = free_port()
    argv = [sys.executable, "-m", "gunicorn", "-c", str(ROOT / "deploy" / "gunicorn" / "gunicorn.conf.py")]
    process = SupervisedProcess(
        "plain DRF",
        [*argv, "--chdir", str(ROOT), "benchmarks.plain_drf.wsgi:application"],
        log=folder / "plain_drf.log",
        ready=lambda: accepts(port),
        env=service_environment({**platform.licensing_settings, "BIND": f"127.0.0.1:{port}"}),
        cwd=ROOT,
    )
    return Contestant("plain DRF", process, port)


def row(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    latencies_s = [each for of in rounds for each in of.outcome.latencies_s]
    return {
        "": name,
        "lookups/s": statistics.median(of.outcome.per_s for of in rounds),
        "least": min(of.outcome.per_s for of in rounds),
        "most": max(of.outcome.per_s for of in rounds),
        "p50 ms": measure.percentile(latencies_s, 50) * 1000,
        "p99 ms": measure.percentile(latencies_s, 99) * 1000,
        "CPU ms": statistics.median(of.cpu_ms for of in rounds),
        "errors": sum(of.outcome.errors for of in rounds),
    }


def main() -> None:
    options = measure.options(__doc__)
    customers, rounds, seconds, warm_up_s = (10, 2, 1.0, 3.0) if options.quick else (200, 8, 5.0, 5.0)
    where = measure.machine()
    with stage.running() as (platform, folder):
        ours = Contestant("ours", platform.licensing[0], stage.port_of(platform.licensing_urls[0]))
        plain = plain_drf(platform, folder)
        with plain.process:
            requests = [customer.look_up() for customer in stage.customers(platform, customers)]
            for each in (ours, plain):
                each.play(requests, warm_up_s)
            pairs = [(ours.play(requests, seconds), plain.play(requests, seconds)) for _ in range(rounds)]
    rows = [row(ours.name, [a for a, _ in pairs]), row(plain.name, [b for _, b in pairs])]
    conclusions = {
        "ours / plain, lookups/s": measure.spread(a.outcome.per_s / b.outcome.per_s for a, b in pairs),
        "plain / ours, CPU a lookup": measure.spread(b.cpu_ms / a.cpu_ms for a, b in pairs),
    }
    measure.show(options, where, rows, conclusions)


if __name__ == "__main__":
    main()
