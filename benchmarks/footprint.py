"""How much memory the processes take after some work, and how long each needs from its start until it is ready."""

import time

import psutil

from benchmarks import load, measure
from benchmarks.figures import Figure, Ratio, Series
from benchmarks.stage import Stage, port_of


def footprint(stage: Stage) -> list[Figure]:
    rounds = stage.pick(1, 5)
    platform = stage.services()
    requests = [customer.look_up(stage.read_headers()) for customer in stage.customers(stage.pick(10, 200))]
    processes = {
        "organization web": platform.organization,
        "licensing web": platform.licensing[0],
        "worker": platform.workers[0],
    }
    took_s: dict[str, list[float]] = {name: [] for name in processes}
    memory_mb: dict[str, list[float]] = {name: [] for name in processes}
    whole_mb = []
    for number in range(rounds):
        stage.announce(f"start {number + 1} of {rounds}")
        for name, process in processes.items():
            process.stop()
            began_s = time.perf_counter()
            process.start()
            took_s[name].append(time.perf_counter() - began_s)
        load.check(port_of(platform.licensing_urls[0]), requests)
        for name, process in processes.items():
            memory_mb[name].append(_largest_mb(process.pid))
        everything = [process.pid for process in (*platform.processes, *platform.servers.processes)]
        whole_mb.append(measure.memory_mb(pid for parent in everything for pid in _family(parent)))
    memory = [Series(name, values) for name, values in memory_mb.items()]
    memory.append(Series("services and servers together", whole_mb))
    limits = (("organization web", "<= 85"), ("licensing web", "<= 85"), ("worker", "<= 75"))
    of_memory = [Ratio(f"{name}, MB", memory_mb[name], reach) for name, reach in limits]
    return [
        Figure(
            "Memory",
            "MB",
            memory,
            [*of_memory, Ratio("together, MB", whole_mb, "<= 900")],
            [
                "Resident memory of the largest process of each kind; together, pages that are shared count once. "
                "Together are PostgreSQL, Valkey, Kafka with its 384 MB of heap, both services and the worker."
            ],
        ),
        Figure(
            "From start to ready",
            "s",
            [Series(name, values) for name, values in took_s.items()],
            [Ratio(f"{name}, s", values, "<= 3") for name, values in took_s.items()],
        ),
    ]


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _largest_mb(pid: int) -> float:
    return max(psutil.Process(each).memory_info().rss for each in _family(pid)) / 1e6
