"""The product's cache on several servers, which replace a lost primary by themselves."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import redis
from redis.cluster import RedisCluster

from devstack.process import start_in_parallel, stop_in_parallel
from devstack.valkey import PRIMARY, Sentinel, Valkey, join_cluster, valkey_cluster
from devstack.waiting import wait_until

_WITHIN_S = 60.0
_SENTINELS = 3


class RedisNodes(Protocol):
    """`kill_a_primary` returns what was killed once another one has its place; `hand_over` kills nothing."""

    @property
    def url(self) -> str:
        """For REDIS_URL."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    @contextmanager
    def client(self) -> Iterator[Any]:
        """To the primaries of now."""

    def kill_a_primary(self, chance: random.Random) -> Valkey: ...

    def take_back(self, node: Valkey) -> None:
        """Start what was killed; return once it follows the one that has its place."""

    def hand_over(self, chance: random.Random) -> None: ...


class SentinelNodes:
    """A primary and a replica, watched by three sentinels of which two have to agree."""

    def __init__(self, folder: Path) -> None:
        settings = {"repl-diskless-sync-delay": "0"}
        primary = Valkey(folder / "one", durable=False, settings=settings, name="Valkey one")
        replica = Valkey(folder / "two", durable=False, replica_of=primary.port, settings=settings, name="Valkey two")
        self._servers = [primary, replica]
        self._sentinels = [Sentinel(folder, primary=primary.port, quorum=2) for _ in range(_SENTINELS)]

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self._sentinels)
        return f"redis+sentinel://{hosts}/{PRIMARY}/0"

    def start(self) -> None:
        for processes in (self._servers[:1], self._servers[1:], self._sentinels):
            start_in_parallel(processes)
        assert wait_until(self._watched, within_s=_WITHIN_S, every_s=0.1), "the sentinels do not find each other"

    def stop(self) -> None:
        stop_in_parallel([*self._sentinels, *self._servers])

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(self._primary().url()) as client:
            yield client

    def kill_a_primary(self, chance: random.Random) -> Valkey:
        lost = self._primary()
        assert wait_until(lambda: _follows(self._other(lost)), within_s=_WITHIN_S), "the replica does not follow"
        lost.kill()
        self._await_primary(self._other(lost))
        return lost

    def take_back(self, node: Valkey) -> None:
        node.start()
        assert wait_until(lambda: _follows(node), within_s=_WITHIN_S), "it does not follow the new primary"
        assert wait_until(self._watched, within_s=_WITHIN_S, every_s=0.1), "the sentinels do not see it"

    def hand_over(self, chance: random.Random) -> None:
        old = self._primary()
        # Refused for a while after another failover.
        assert wait_until(self._told_to_fail_over, within_s=_WITHIN_S, every_s=0.5), "the sentinels do not hand over"
        self._await_primary(self._other(old))
        assert wait_until(lambda: _follows(old), within_s=_WITHIN_S), "the old primary does not follow"

    def _told_to_fail_over(self) -> bool:
        try:
            self._ask(0, "FAILOVER", PRIMARY)
        except redis.ResponseError:
            return False
        return True

    def _primary(self) -> Valkey:
        _, port = self._ask(0, "GET-MASTER-ADDR-BY-NAME", PRIMARY)
        return next(server for server in self._servers if server.port == int(port))

    def _other(self, server: Valkey) -> Valkey:
        return next(each for each in self._servers if each is not server)

    def _await_primary(self, server: Valkey) -> None:
        def is_it() -> bool:
            known = [self._ask(number, "GET-MASTER-ADDR-BY-NAME", PRIMARY)[1] for number in range(_SENTINELS)]
            return set(known) == {str(server.port)} and _leads(server)

        assert wait_until(is_it, within_s=_WITHIN_S, every_s=0.05), "the sentinels do not fail over"

    def _watched(self) -> bool:
        """Whether each sentinel knows the others and a replica that it could take."""
        seen = [_pairs(self._ask(number, "MASTER", PRIMARY)) for number in range(_SENTINELS)]
        return all(
            (each["num-other-sentinels"], each["num-slaves"], each["flags"]) == (str(_SENTINELS - 1), "1", "master")
            for each in seen
        )

    def _ask(self, number: int, *words: str) -> Any:
        with redis.Redis.from_url(self._sentinels[number].url(), decode_responses=True) as client:
            return client.execute_command("SENTINEL", *words)


class ClusterNodes:
    """Three primaries, each with a replica."""

    def __init__(self, folder: Path) -> None:
        self._servers = valkey_cluster(folder)

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self._servers)

    def start(self) -> None:
        start_in_parallel(self._servers)
        join_cluster(self._servers)

    def stop(self) -> None:
        stop_in_parallel(self._servers)

    @contextmanager
    def client(self) -> Iterator[RedisCluster]:
        client = RedisCluster.from_url(self._servers[0].url())
        try:
            yield client
        finally:
            client.close()

    def kill_a_primary(self, chance: random.Random) -> Valkey:
        lost, replica = chance.choice(self._pairs())
        assert wait_until(lambda: _follows(replica), within_s=_WITHIN_S), "the replica does not follow"
        lost.kill()
        assert wait_until(lambda: _leads(replica), within_s=_WITHIN_S), "it is not promoted"
        return lost

    def take_back(self, node: Valkey) -> None:
        node.start()
        assert wait_until(lambda: _follows(node), within_s=_WITHIN_S), "it does not follow the new primary"

    def hand_over(self, chance: random.Random) -> None:
        old, replica = chance.choice(self._pairs())
        assert wait_until(lambda: _follows(replica), within_s=_WITHIN_S), "the replica does not follow"
        with redis.Redis.from_url(replica.url()) as client:
            client.execute_command("CLUSTER", "FAILOVER")
        assert wait_until(lambda: _leads(replica), within_s=_WITHIN_S), "it is not promoted"
        assert wait_until(lambda: _follows(old), within_s=_WITHIN_S), "the old primary does not follow"

    def _pairs(self) -> list[tuple[Valkey, Valkey]]:
        """Each primary with its replica."""
        by_port = {server.port: server for server in self._servers}
        states = {server.port: _role(server) for server in self._servers}
        return [
            (by_port[int(state["master_port"])], by_port[port])
            for port, state in states.items()
            if state.get("role") == "slave"
        ]


def _role(server: Valkey) -> Mapping[str, Any]:
    """What it says of itself; nothing while it is away, or ends the connections of others as it is made a replica."""
    try:
        with redis.Redis.from_url(server.url(), decode_responses=True) as client:
            state: dict[str, Any] = client.info("replication")
            return state
    except redis.RedisError:
        return {}


def _leads(server: Valkey) -> bool:
    return _role(server).get("role") == "master"


def _follows(server: Valkey) -> bool:
    state = _role(server)
    return (state.get("role"), state.get("master_link_status")) == ("slave", "up")


def _pairs(answer: list[str] | dict[str, str]) -> dict[str, str]:
    """By the version of the protocol that redis-py speaks."""
    return answer if isinstance(answer, dict) else dict(zip(answer[::2], answer[1::2], strict=True))
