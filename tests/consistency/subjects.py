"""What is put to the race: the licensing service, and plain cache-aside as the control."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, cast

import httpx
import redis

from devstack.environment import ROOT
from devstack.ports import accepts, free_port
from devstack.process import SupervisedProcess
from tests.consistency.gate import Gate
from tests.e2e.world import Customer, World


class Subject(Protocol):
    """Something that answers with an organization's version and is told of changes."""

    instances: int

    def version(self, customer: Customer, instance: int) -> int:
        """What a lookup answers."""

    def applied(self, partition: int) -> int:
        """The offset up to which the log has been applied to the cache; -1 for nothing yet."""


class Licensing:
    """The product."""

    def __init__(self, world: World, cache: redis.Redis) -> None:
        self._world = world
        self._redis = cache
        self.instances = len(world.platform.licensing_urls)

    def version(self, customer: Customer, instance: int) -> int:
        return self._world.lookup(customer, instance).version

    def applied(self, partition: int) -> int:
        watermark = cast("bytes | None", self._redis.get(f"{{o{partition}}}:wm"))
        return int(watermark.split(b"|")[1]) if watermark else -1


class CacheAside:
    """The control, on the same servers, topic and organization service."""

    def __init__(self, http: httpx.Client, cache: redis.Redis) -> None:
        self._http = http
        self._redis = cache
        self.instances = 1

    def version(self, customer: Customer, instance: int) -> int:
        return int(self._http.get(f"/{customer.id}").raise_for_status().text)

    def applied(self, partition: int) -> int:
        return int(cast("bytes | None", self._redis.get(f"applied:{partition}")) or -1)


@contextmanager
def licensing(world: World) -> Iterator[Licensing]:
    with redis.Redis.from_url(world.platform.licensing_settings["REDIS_URL"]) as cache:
        yield Licensing(world, cache)


def naive_web(module: str, port: int, env: Mapping[str, str], folder: Path) -> SupervisedProcess:
    """A gunicorn of the control."""
    name = module.replace("_", "-")
    argv = [sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--threads", "16"]
    return SupervisedProcess(
        name,
        [*argv, f"tests.consistency.{module}:application"],
        log=folder / f"{name}.log",
        ready=lambda: accepts(port),
        env={**os.environ, **env},
        cwd=ROOT,
    )


def naive_worker(env: Mapping[str, str], folder: Path, ready: Callable[[], bool]) -> SupervisedProcess:
    """The control's consumer."""
    return SupervisedProcess(
        "cache-aside-worker",
        [sys.executable, "-m", "tests.consistency.cache_aside_worker"],
        log=folder / "cache-aside-worker.log",
        ready=ready,
        env={**os.environ, **env},
        cwd=ROOT,
    )


@contextmanager
def cache_aside(world: World, gate: Gate, redis_url: str, folder: Path) -> Iterator[CacheAside]:
    """The control as real processes: a gunicorn and a consumer."""
    env = {
        "REDIS_URL": redis_url,
        "ORGANIZATION_SERVICE_URL": gate.url,
        "KAFKA_BOOTSTRAP_SERVERS": world.platform.servers.kafka_bootstrap_servers,
        "ORG_CHANGE_TOPIC": world.platform.topic,
    }
    port = free_port()
    web, url = naive_web("cache_aside_web", port, env, folder), f"http://127.0.0.1:{port}"
    with redis.Redis.from_url(redis_url) as cache, httpx.Client(base_url=url, timeout=60) as http:
        # Heartbeats come every second, so that it soon has something to say.
        worker = naive_worker(env, folder, ready=lambda: bool(cache.keys("applied:*")))
        with web, worker:
            yield CacheAside(http, cache)
