"""One read of the fenced cache beside django-redis' `cache.get` of the same payload, in one process.

`FencedCache.read` brings the proof of freshness along: two keys in one round trip, where `cache.get` fetches one and
unpickles it. The plain way mostly keeps a dictionary rather than bytes: that is the third row.
"""

import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.cache import cache as django_cache

from benchmarks import timed_command
from benchmarks.figures import Figure, Ratio, Series
from benchmarks.measure import interleaved, percentile
from benchmarks.stage import Stage
from devstack.environment import ROOT
from event_stream.fenced_cache import CacheSettings, FencedCache

PAYLOAD = (
    b'"organizationName":"Customer 10","contactName":"Ann Example",'
    b'"contactEmail":"ann@example.org","contactPhone":"+1 555 0100"'
)
_TOO_LONG_S = 120.0
IDS = [str(uuid.UUID(int=number)) for number in range(200)]


def measure(stage: Stage) -> list[Figure]:
    rounds, reads = stage.pick((3, 1_000), (9, 5_000), (15, 5_000))
    # In a process of its own: Django's settings are made once in each.
    argv = [sys.executable, "-m", "benchmarks.cache_read", stage.redis_url(3), str(rounds), str(reads)]
    done = timed_command.run(argv, os.environ | {"PYTHONPATH": str(ROOT)}, within_s=_TOO_LONG_S)
    series = [Series(**values) for values in json.loads(done.stdout)]
    ours, *others = series
    ratios = [
        Ratio(f"{other.name} / {ours.name}", [b / a for a, b in zip(ours.samples, other.samples, strict=True)])
        for other in others
    ]
    return [Figure("A read of the cache", "µs CPU", series, ratios)]


def main(url: str, rounds: int, reads: int) -> None:
    """Write the series as JSON."""
    settings.configure(CACHES={"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url}})
    fenced = FencedCache(settings=CacheSettings(max_staleness_s=3600))
    _fill(fenced)
    if any(fenced.read(id).value != PAYLOAD or django_cache.get(f"bytes:{id}") != PAYLOAD for id in IDS):
        raise SystemExit("not every read is a hit")
    took_s: dict[str, list[float]] = {}

    def timed(name: str, read: Callable[[str], Any]) -> Callable[[], float]:
        def play() -> float:
            times_s, cpu_s = took_s.setdefault(name, []), time.process_time()
            for number in range(reads):
                began_s = time.perf_counter()
                read(IDS[number % len(IDS)])
                times_s.append(time.perf_counter() - began_s)
            return (time.process_time() - cpu_s) / reads * 1e6

        return play

    played = interleaved(
        {
            name: timed(name, read)
            for name, read in {
                "FencedCache.read": fenced.read,
                "cache.get, bytes": lambda id: django_cache.get(f"bytes:{id}"),
                "cache.get, dictionary": lambda id: django_cache.get(f"dict:{id}"),
            }.items()
        },
        rounds,
    )
    series = [
        {
            "name": name,
            "samples": samples,
            "columns": {f"p{at} µs": percentile(took_s[name], at) * 1e6 for at in (50, 99)},
        }
        for name, samples in played.items()
    ]
    json.dump(series, sys.stdout)


def _fill(fenced: FencedCache) -> None:
    now_ms = fenced.clock.now_ms()
    for partition in range(fenced.keys.partitions):
        fenced.apply(partition, -1, 0, [], now_ms)
    for id in IDS:
        if lease := fenced.lease(id):
            fenced.fill(lease, 1, PAYLOAD, now_ms)
        django_cache.set(f"bytes:{id}", PAYLOAD)
        django_cache.set(f"dict:{id}", json.loads(b"{%b}" % PAYLOAD))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
