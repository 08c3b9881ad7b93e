"""What recording for the trace costs the worker: changes a second, with it and without, in turn.

`manage.py consume_org_changes --until-caught-up` finds a backlog of changes on the topic, each of another organization,
and an empty cache, as a group that is new each time. Timed from its being ready to its end, in CPU time too: on a busy
machine that is the figure to look at.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import redis

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import drain, measure, stage
from devstack import ServiceCluster
from devstack.django_commands import LICENSING
from devstack.environment import service_environment


@dataclass(frozen=True, slots=True)
class Run:
    """In seconds."""

    took: float
    cpu: float


def consume(platform: ServiceCluster, group: str, *, record: bool) -> Run:
    """One worker, from the start of the topic to its end."""
    with redis.Redis.from_url(platform.licensing_settings["REDIS_URL"]) as cache:
        cache.flushdb()
    settings = {"LICENSING_GROUP": group, "TRACE_RECORD": "true" if record else "false"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        LICENSING.command("consume_org_changes", "--until-caught-up"),
        env=service_environment({**platform.licensing_settings, **settings}),
        check=True,
        stderr=subprocess.PIPE,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    ready_at, stopped_at = (
        next(datetime.fromisoformat(line["timestamp"]) for line in lines if line["event"] == event)
        for event in ("worker.ready", "worker.stopped")
    )
    cpu_s = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return Run((stopped_at - ready_at).total_seconds(), cpu_s)


def row(name: str, rows: int, runs: Sequence[Run]) -> dict[str, Any]:
    rates = sorted(rows / run.took for run in runs)
    cpu_s = sorted(run.cpu for run in runs)
    return {"": name, "changes/s": rates[len(rates) // 2], "least": rates[0], "CPU s": cpu_s[len(cpu_s) // 2]}


def main() -> None:
    options = measure.options(__doc__)
    pairs, rows = (1, 2_000) if options.quick else (7, 50_000)
    where = measure.machine()
    with stage.prepared() as (platform, _):
        drain.relay_s(platform, rows)
        recording: list[Run] = []
        bare: list[Run] = []
        for number in range(pairs):
            # In turn which of the two comes first: what else the machine does hits both.
            for record in (True, False) if number % 2 else (False, True):
                run = consume(platform, f"trace-{number}-{record}", record=record)
                (recording if record else bare).append(run)
    both = list(zip(recording, bare, strict=True))
    conclusions = {
        "rate recording / without": measure.spread((without.took / with_.took for with_, without in both), 3),
        "CPU recording / without": measure.spread((with_.cpu / without.cpu for with_, without in both), 3),
    }
    rows_shown = [row("recording", rows, recording), row("without", rows, bare)]
    measure.show(options, where, rows_shown, conclusions)


if __name__ == "__main__":
    main()
