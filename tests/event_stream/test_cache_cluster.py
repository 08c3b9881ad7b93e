"""Redis Cluster refuses a script or an MGET whose keys are in several slots; a cluster of one server refuses it too."""

from collections.abc import Iterator

import pytest
import redis

from devstack.valkey import Valkey
from devstack.waiting import wait_until
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import Eviction, FencedCache, FillOutcome, LogInvalidator, State
from event_stream.fenced_cache.explain import explain
from tests.event_stream.cache_world import (
    NOW_MS,
    PAYLOAD,
    FakeClock,
    Log,
    Reader,
    caches_at,
    decode,
    event,
    heartbeat,
    id_at,
    new_cache,
    raw,
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    data_dir = tmp_path_factory.mktemp("cluster") / "valkey"
    with Valkey(data_dir, durable=False, settings={"cluster-enabled": "yes"}, name="Valkey Cluster") as server:
        with redis.Redis.from_url(server.url(), decode_responses=True) as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            assert wait_until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO")), within_s=10)
        yield server.url()


@pytest.fixture
def cache(url: str) -> Iterator[FencedCache]:
    with caches_at(url):
        yield new_cache(FakeClock())


def test_the_server_does_refuse_keys_of_several_slots(cache: FencedCache) -> None:
    with pytest.raises(UnavailableError, match="same slot"):
        cache.scripts.run("evict", ["a", "b"], [1000, 1])


def test_every_operation_keeps_to_one_slot(cache: FencedCache) -> None:
    ids = [id_at(cache, partition, number) for partition in range(6) for number in range(3)]
    for id in ids:
        cache.apply(cache.keys.partition_of(id), -1, -1, (), 0)
        lease = cache.lease(id)
        assert lease is not None
        cache.release(lease)
        lease = cache.lease(id)
        assert lease is not None
        assert cache.fill(lease, 7, PAYLOAD, NOW_MS) is FillOutcome.FILLED
        assert cache.read(id).state is State.HIT
        assert next(explain(cache, id).lines()).startswith(id)
    assert set(cache.ids()) == set(ids)
    cache.evict(Eviction(id) for id in ids)
    assert {raw(cache, id) for id in ids} == {b"T|7"}


def test_a_worker_keeps_to_one_slot(cache: FencedCache) -> None:
    log = Log(3)
    ids = [id_at(cache, partition, number) for partition in range(6) for number in range(3)]
    for id in ids:
        log.add(event(id, 8))
        log.add(b"{", key=id.encode())
    log.add(heartbeat(NOW_MS))
    worker = Reader(LogInvalidator(cache, decode), log)
    worker.begin()
    worker.drain()
    assert {raw(cache, id) for id in ids} == {b"T|8"}
