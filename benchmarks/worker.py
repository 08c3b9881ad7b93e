"""How fast the worker goes through a backlog, beside a bare poll of the same records.

`manage.py consume_org_changes --until-caught-up` finds changes on the topic, each of another organization, and an empty
cache, as a group that is new each time. Timed from its being ready to its end. The other one polls the same records
with kafka-python and does nothing with them.
"""

import json
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import count

import kafka
import redis

from benchmarks import relay, timed_command
from benchmarks.figures import Figure, Series, paired
from benchmarks.measure import interleaved
from benchmarks.stage import Stage
from devstack import ServiceCluster
from devstack.django_commands import LICENSING
from devstack.environment import service_environment

_TOO_LONG_S = 300.0
_groups = (f"benchmark-{number}" for number in count())


@dataclass(frozen=True, slots=True)
class Drain:
    """CPU time is that of the process, its start included."""

    took_s: float
    cpu_s: float


def new_group() -> str:
    """A name for a consumer group that nobody had before."""
    return next(_groups)


def drain(platform: ServiceCluster, settings: Mapping[str, str] | None = None) -> Drain:
    """Let one worker go from the start of the topic to its end."""
    with redis.Redis.from_url(platform.licensing_settings["REDIS_URL"]) as cache:
        cache.flushdb()
    done = timed_command.run(
        LICENSING.command("consume_org_changes", "--until-caught-up"),
        service_environment({**platform.licensing_settings, "LICENSING_GROUP": new_group(), **(settings or {})}),
        within_s=_TOO_LONG_S,
    )
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith(b"{")]
    ready_at, stopped_at = (
        next(datetime.fromisoformat(line["timestamp"]) for line in lines if line["event"] == event)
        for event in ("worker.ready", "worker.stopped")
    )
    return Drain((stopped_at - ready_at).total_seconds(), done.cpu_s)


def poll_bare(platform: ServiceCluster) -> float:
    """Poll the topic from its start to its end; return records a second, from the first on."""
    servers = platform.servers.kafka_bootstrap_servers.split(",")
    with closing(
        kafka.KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", enable_auto_commit=False)
    ) as consumer:
        at = [kafka.TopicPartition(platform.topic, each) for each in consumer.partitions_for_topic(platform.topic)]
        consumer.assign(at)
        missing = sum(consumer.end_offsets(at).values()) - sum(consumer.beginning_offsets(at).values())
        polled, began_s = 0, time.perf_counter()
        while polled < missing:
            polled += sum(map(len, consumer.poll(1000).values()))
        return polled / (time.perf_counter() - began_s)


def fill(stage: Stage, rows: int) -> ServiceCluster:
    """The platform, with at least so many changes on its topic, each of another organization."""
    platform = stage.bulk()
    missing = rows - sum(1 for _ in relay.published(platform, platform.topic))
    if missing > 0:
        stage.announce(f"sending {missing:,} changes")
        relay.drain(platform, missing, platform.topic)
    return platform


def measure(stage: Stage) -> list[Figure]:
    rounds, rows = stage.pick((2, 2_000), (5, 100_000), (9, 100_000))
    platform = fill(stage, rows)
    changes = sum(1 for _ in relay.published(platform, platform.topic))
    drains: list[Drain] = []

    def ours() -> float:
        drains.append(drain(platform))
        return changes / drains[-1].took_s

    stage.announce(f"{rounds} backlogs of {changes:,} changes")
    played = interleaved({"ours": ours, "bare": lambda: poll_bare(platform)}, rounds)
    cpu_us = sum(each.cpu_s for each in drains) / rounds / changes * 1e6
    series = [Series("worker", played["ours"], {"CPU µs": cpu_us}), Series("bare poll", played["bare"])]
    return [
        Figure(
            f"Worker with a backlog of {changes:,} changes",
            "changes/s",
            series,
            [paired("ours / bare poll", series[0], series[1], ">= 0.6")],
        )
    ]
