"""The arithmetic of the figures, and what is known of the machine."""

import os
import platform
import resource
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import psutil

from devstack.environment import ROOT

T = TypeVar("T")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]


def interleaved(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Let each contestant play once a round; return the results of each, round by round.

    They take turns to begin: a machine that gets slower costs all the same.
    """
    results: dict[str, list[T]] = {name: [] for name in contestants}
    order = list(contestants)
    for number in range(rounds):
        shift = number % len(order)
        for name in order[shift:] + order[:shift]:
            results[name].append(contestants[name]())
    return results


def cpu_s(pid: int) -> float:
    """CPU time, in seconds, that a process and its children have used so far."""
    process = psutil.Process(pid)
    used_s = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            used_s += times.user + times.system
    return used_s


def children_cpu_s() -> float:
    """CPU time, in seconds, of the children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_mb(pids: Iterable[int]) -> float:
    """Memory of these processes in MB: pages that several share are counted once (PSS)."""
    total = 0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            total += psutil.Process(pid).memory_full_info().pss
    return total / 1e6


def machine() -> dict[str, Any]:
    """Where and on what this is measured; the load is what was going on before."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "cores": len(os.sched_getaffinity(0)),
        "load before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    return done.stdout.strip() or "unknown"
