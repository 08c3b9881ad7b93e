"""One read of the fenced cache beside django-redis' `cache.get` of the same payload, in one process.

`FencedCache.read` brings the proof of freshness along: two keys in one round trip, where `cache.get` fetches one and
unpickles it. The plain way mostly keeps a dictionary rather than bytes: that is the third row.
"""

import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import cache as django_cache

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import measure
from devstack import Valkey
from event_stream.fenced_cache import CacheSettings, FencedCache

PAYLOAD = (
    b'"organizationName":"Customer 10","contactName":"Ann Example",'
    b'"contactEmail":"ann@example.org","contactPhone":"+1 555 0100"'
)
IDS = [str(uuid.UUID(int=number)) for number in range(200)]

Read = Callable[[str], Any]
Round = tuple[list[float], float]
"""The time of each read, and the CPU time of all of them; in seconds."""


def fill(fenced: FencedCache) -> None:
    now_ms = fenced.clock.now_ms()
    for partition in range(fenced.keys.partitions):
        fenced.apply(partition, -1, 0, [], now_ms)
    for id in IDS:
        if lease := fenced.lease(id):
            fenced.fill(lease, 1, PAYLOAD, now_ms)
        django_cache.set(f"bytes:{id}", PAYLOAD)
        django_cache.set(f"dict:{id}", json.loads(b"{%b}" % PAYLOAD))


def timed(read: Read, reads: int) -> Round:
    took_s, cpu_s = [], time.process_time()
    for number in range(reads):
        id = IDS[number % len(IDS)]
        began_s = time.perf_counter()
        read(id)
        took_s.append(time.perf_counter() - began_s)
    return took_s, time.process_time() - cpu_s


def row(name: str, rounds: Sequence[Round]) -> dict[str, Any]:
    took_s = [each for of, _ in rounds for each in of]
    return {
        "": name,
        "p50 µs": measure.percentile(took_s, 50) * 1e6,
        "p99 µs": measure.percentile(took_s, 99) * 1e6,
        "CPU µs": statistics.median(cpu_s / len(of) for of, cpu_s in rounds) * 1e6,
    }


def main() -> None:
    options = measure.options(__doc__)
    rounds, reads = (3, 1_000) if options.quick else (15, 5_000)
    where = measure.machine()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, Valkey(Path(folder) / "valkey") as valkey:
        default = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": valkey.url()}
        settings.configure(CACHES={"default": default})
        fenced = FencedCache(settings=CacheSettings(max_staleness_s=3600))
        fill(fenced)
        if any(fenced.read(id).value != PAYLOAD or django_cache.get(f"bytes:{id}") != PAYLOAD for id in IDS):
            raise SystemExit("not every read is a hit")
        contestants: dict[str, Read] = {
            "FencedCache.read": fenced.read,
            "cache.get, bytes": lambda id: django_cache.get(f"bytes:{id}"),
            "cache.get, dictionary": lambda id: django_cache.get(f"dict:{id}"),
        }
        played: dict[str, list[Round]] = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, read in contestants.items():
                played[name].append(timed(read, reads))
    ours, *others = played
    conclusions = {
        f"{other} / {ours}, CPU": measure.spread(b[1] / a[1] for a, b in zip(played[ours], played[other], strict=True))
        for other in others
    }
    measure.show(options, where, [row(name, of) for name, of in played.items()], conclusions)


if __name__ == "__main__":
    main()
