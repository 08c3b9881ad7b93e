"""The cache on a Redis Cluster of three primaries, by the class that finds its nodes."""

from collections.abc import Iterator

import pytest
from redis import Redis
from redis.cluster import RedisCluster

from devstack.environment import ROOT
from devstack.process import start_in_parallel, stop_in_parallel
from devstack.valkey import Valkey, join_cluster, valkey_cluster
from event_stream.doctor import Level, redis
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import Eviction, FencedCache, FillOutcome, LogInvalidator, State
from event_stream.fenced_cache.explain import explain
from event_stream.fenced_cache.redis_cluster import primaries
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

FACTORY = "event_stream.fenced_cache.redis_cluster.ClusterConnectionFactory"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Valkey]]:
    nodes = valkey_cluster(tmp_path_factory.mktemp("cluster"))
    try:
        start_in_parallel(nodes)
        join_cluster(nodes)
        yield nodes
    finally:
        stop_in_parallel(nodes)


@pytest.fixture
def cache(nodes: list[Valkey]) -> Iterator[FencedCache]:
    with caches_at(nodes[0].url(), CONNECTION_FACTORY=FACTORY, NODES=[("127.0.0.1", nodes[1].port)]):
        yield new_cache(FakeClock())


def test_it_is_one_and_its_keys_are_on_several_nodes(cache: FencedCache, nodes: list[Valkey]) -> None:
    client = cache.scripts.redis
    assert isinstance(client, RedisCluster)
    assert {address for address, _ in primaries(client)} == {f"127.0.0.1:{node.port}" for node in nodes[:3]}
    owners = {client.get_node_from_key(cache.keys.watermark(partition)) for partition in range(6)}
    assert len(owners) > 1


def test_the_cluster_is_unavailable_and_no_error_of_another_kind(nodes: list[Valkey]) -> None:
    with caches_at("redis://127.0.0.1:1/0", CONNECTION_FACTORY=FACTORY, SOCKET_CONNECT_TIMEOUT=1):
        cache = new_cache(FakeClock())
        for use in (lambda: cache.read("a"), lambda: cache.lease("a"), lambda: list(cache.ids()), cache.recorded):
            with pytest.raises(UnavailableError, match="Redis"):
                use()


def test_doctor_looks_at_each_primary(cache: FencedCache, nodes: list[Valkey]) -> None:
    found = {each.subject: each for each in redis.check(cache, worker="the worker", remedy="agree")}
    for node in nodes[:3]:
        assert found[f"Redis 127.0.0.1:{node.port}"].level is Level.OK
        assert found[f"Redis memory 127.0.0.1:{node.port}"].level is Level.OK


def test_the_server_does_refuse_keys_of_several_slots(cache: FencedCache) -> None:
    with pytest.raises(UnavailableError, match=r"same (key )?slot"):
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


def test_the_user_of_users_acl_needs_two_commands_more(nodes: list[Valkey]) -> None:
    """As docs/howto/redis-cluster.md says."""
    lines = (ROOT / "deploy/redis/users.acl").read_text().replace("${VALKEY_PASSWORD}", "hush").splitlines()
    [words] = [line.split()[2:] for line in lines if line.startswith("user licensing ")]
    for node in nodes:
        with Redis.from_url(node.url()) as client:
            client.execute_command("ACL", "SETUSER", "licensing", *words, "+cluster|slots", "+command")
    url = nodes[0].url().replace("//", "//licensing:hush@")
    with caches_at(url, CONNECTION_FACTORY=FACTORY):
        # Its name has to begin with what the user may touch.
        cache = FencedCache(namespace="o-of-a-user", clock=FakeClock())
        id = id_at(cache, 1)
        cache.apply(1, -1, -1, (), 0)
        lease = cache.lease(id)
        assert lease is not None
        assert cache.fill(lease, 7, PAYLOAD, NOW_MS) is FillOutcome.FILLED
        assert cache.read(id).state is State.HIT
        assert all(finding.level is not Level.FAILED for finding in redis.check(cache, worker="w", remedy="r"))
