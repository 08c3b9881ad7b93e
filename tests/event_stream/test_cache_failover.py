"""A real replica that has fallen behind becomes the primary: its older state replays what it has missed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from devstack.valkey import Valkey
from devstack.waiting import wait_until
from event_stream.fenced_cache import FencedCache, FillOutcome, LogInvalidator, State
from event_stream.fenced_cache.cache import MISS
from tests.event_stream.cache_world import (
    FakeClock,
    Log,
    Reader,
    caches_at,
    decode,
    event,
    heartbeat,
    id_at,
    keep,
    new_cache,
)

PARTITION = 2


class Pair:
    """A primary and its replica."""

    def __init__(self, folder: Path) -> None:
        self.primary = Valkey(folder / "primary", durable=False, settings={"repl-diskless-sync-delay": "0"})
        self.replica = Valkey(folder / "replica", durable=False, replica_of=self.primary.port, name="Valkey replica")

    def start(self) -> None:
        self.primary.start()
        self.replica.start()
        with redis.Redis.from_url(self.replica.url(), decode_responses=True) as client:
            assert wait_until(lambda: client.info("replication")["master_link_status"] == "up", within_s=20)

    def catch_up(self) -> None:
        """Return when the replica has everything."""
        with redis.Redis.from_url(self.primary.url()) as client:
            client.incr("settled")
            assert client.wait(1, 10_000) == 1

    def fall_behind(self) -> None:
        """From now on the replica hears nothing any more."""
        with redis.Redis.from_url(self.replica.url()) as client:
            client.replicaof("no", "one")

    def fail_over(self) -> None:
        self.primary.kill()

    def stop(self) -> None:
        self.replica.stop()
        self.primary.stop()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    pair = Pair(tmp_path)
    try:
        pair.start()
        yield pair
    finally:
        pair.stop()


def test_after_a_failover_what_the_new_primary_missed_is_applied_again(pair: Pair) -> None:
    clock, log = FakeClock(), Log(PARTITION)
    with caches_at(pair.primary.url()):
        old = new_cache(clock)
        changed, unchanged, asked = (id_at(old, PARTITION, number) for number in range(3))
        worker = Reader(LogInvalidator(old, decode), log)
        worker.begin()
        log.add(heartbeat(clock.ms))
        worker.drain()
        for id in (changed, unchanged):
            keep(old, id, 7)
        lease = old.lease(asked)
        assert lease is not None
        pair.catch_up()
        pair.fall_behind()
        # The replica keeps a value and a lease that these clear at the primary.
        log.add(event(changed, 8))
        log.add(event(asked, 8))
        log.add(heartbeat(clock.ms))
        worker.drain()
        assert old.read(changed) == MISS
        pair.fail_over()
    with caches_at(pair.replica.url()):
        cache = FencedCache(namespace=old.keys.namespace, clock=clock)
        worker = Reader(LogInvalidator(cache, decode), log)
        worker.position = len(log.records)
        # Until the worker comes, the old value is fresh no longer than the old watermark allows.
        assert cache.read(changed).state is State.HIT
        clock.advance(11)
        assert cache.read(changed).state is State.STALE
        # An answer from before the change may still come in; the replay takes it out again.
        assert cache.fill(lease, 7, b"old", clock.ms) is FillOutcome.FILLED
        worker.drain()
        log.add(heartbeat(clock.ms))
        worker.drain()
        assert cache.read(changed) == MISS
        assert cache.read(asked) == MISS
        assert cache.read(unchanged).state is State.HIT


def test_a_batch_in_the_middle_of_a_failover_is_rewound(pair: Pair) -> None:
    clock, log = FakeClock(), Log(PARTITION)
    with caches_at(pair.primary.url()):
        old = new_cache(clock)
        id = id_at(old, PARTITION)
        worker = Reader(LogInvalidator(old, decode), log, batch=2)
        worker.begin()
        log.add(event(id, 7))
        worker.drain()
        keep(old, id, 7)
        pair.catch_up()
        pair.fall_behind()
        for version in range(8, 14):
            log.add(event(id, version))
        worker.step()
        worker.step()
        pair.fail_over()
    with caches_at(pair.replica.url()):
        cache = FencedCache(namespace=old.keys.namespace, clock=clock)
        worker.applier = LogInvalidator(cache, decode)
        assert worker.position == 5
        worker.step()
        assert worker.position == 1
        worker.drain()
        watermark = cache.watermark(PARTITION)
        assert watermark is not None
        assert watermark.offset == 6
        assert cache.read(id) == MISS
