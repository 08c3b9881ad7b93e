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
    resident_mb: dict[str, list[float]] = {name: [] for name in processes}
    own_mb: dict[str, float] = {}
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
            largest = max(_family(process.pid), key=_resident_mb)
            resident_mb[name].append(_resident_mb(largest))
            own_mb[name] = measure.memory_mb([largest])
        everything = [process.pid for process in (*platform.processes, *platform.servers.processes)]
        whole_mb.append(measure.memory_mb(pid for parent in everything for pid in _family(parent)))
    memory = [Series(name, values, {"PSS MB": own_mb[name]}) for name, values in resident_mb.items()]
    memory.append(Series("services and servers together", whole_mb))
    limits = (("organization web", "<= 85"), ("licensing web", "<= 85"), ("worker", "<= 75"))
    of_memory = [Ratio(f"{name}, MB", resident_mb[name], reach) for name, reach in limits]
    return [
        Figure(
            "Memory",
            "MB",
            memory,
            [*of_memory, Ratio("together, MB", whole_mb, "<= 900")],
            [
                "Resident memory of the largest process of each kind; PSS, and together, counts shared pages once. "
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


def _resident_mb(pid: int) -> float:
    return psutil.Process(pid).memory_info().rss / 1e6
