"""Servers of its own with a link before each, both services on them, relays, and the control beside it all."""

import dataclasses
import threading
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit

import redis

from devstack import cluster
from devstack.cluster import DEFAULT_TOPIC, ServiceCluster
from devstack.django_commands import LICENSING, ORGANIZATION, Project
from devstack.kafka import Kafka, kafka_cluster
from devstack.pgbouncer import PgBouncer
from devstack.ports import free_port
from devstack.postgres import Postgres
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.servers import Servers
from devstack.topics import create_topics, read_topics
from devstack.valkey import Valkey
from devstack.waiting import wait_until
from tests.consistency.subjects import Licensing
from tests.e2e.world import Customer, World
from tests.faults import evidence, naive, shifted_clock
from tests.faults.link import Link
from tests.faults.naive import Naive
from tests.faults.redis_nodes import RedisNodes

BOUND_S = 1.0
SETTLE_S = 90.0
"""Far longer than it takes to replace a member of the group that was killed."""
TABLE = "organizations_organization"
_ORGANIZATION, _LICENSING, _NAIVE = "fault_organization", "fault_licensing", "fault_naive"
_QUICK_SESSION = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
"""A broker that was killed is believed to be alive for the length of its session, and let in again after it."""
_MORE_THAN_ANY_TEST_SENDS = 1_000_000
_DRAIN_S = 1.0
"""Longer than between choosing an instance and connecting to it; an orchestrator's pre-stop hook."""
_NAIVE_DATABASE = 1
"""In Redis, beside the product's 0."""


class Site:
    """One, of `brokers` Kafka brokers. With several there is no link before them: they name each other to clients.

    `pooled` has the web processes reach PostgreSQL by a PgBouncer in transaction mode. Raises PgBouncerMissing.
    With `redis_nodes` the product's cache is on these, with no link before them, and `valkey` is the control's alone.
    """

    def __init__(
        self, folder: Path, *, brokers: int = 1, pooled: bool = False, redis_nodes: RedisNodes | None = None
    ) -> None:
        # Durable, or a kill would take with it what it has committed.
        self.postgres = Postgres(folder / "postgres")
        self.valkey = Valkey(folder / "valkey", durable=False, settings={"repl-diskless-sync-delay": "0"})
        self.replica = Valkey(folder / "replica", durable=False, replica_of=self.valkey.port, name="Valkey replica")
        kafka_port, self._org_port, self._naive_port = free_port(), free_port(), free_port()
        self._kafka, self._redis, self._postgres = (
            Link(f"127.0.0.1:{port}") for port in (kafka_port, self.valkey.port, self.postgres.port)
        )
        # From the service that caches to the one that owns: the product's, and the control's.
        self._http, self._naive_http = (Link(f"127.0.0.1:{port}") for port in (self._org_port, self._naive_port))
        self.links = {
            "kafka": [self._kafka],
            "redis": [self._redis],
            "postgres": [self._postgres],
            "http": [self._http, self._naive_http],
        }
        if brokers > 1:
            self.brokers = kafka_cluster(folder, brokers)
            self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in self.brokers)
        else:
            advertised = {"advertised.listeners": f"PLAINTEXT://{self._kafka.address}"}
            self.brokers = [Kafka(folder / "kafka", port=kafka_port, settings=_QUICK_SESSION | advertised)]
            self.bootstrap_servers = self._kafka.address
        self.pooler = PgBouncer(folder / "pgbouncer", self.postgres.url) if pooled else None
        self.redis_nodes = redis_nodes
        self._folder = folder
        self._rollouts = 0
        self.config_file = folder / "settings.env"
        """What processes read again while they run."""
        self.configure()
        self._stack = ExitStack()

    def configure(self, **settings: str) -> None:
        """Have these settings in the file, and the maximum staleness; no process reads it before it is told to."""
        lines = {"ORGANIZATION_MAX_STALENESS_S": str(BOUND_S), **settings}
        written = self.config_file.with_suffix(".new")
        written.write_text("".join(f"{name}={value}\n" for name, value in lines.items()))
        written.replace(self.config_file)

    @property
    def servers(self) -> list[SupervisedProcess]:
        return [self.postgres, self.valkey, self.replica, *self.brokers]

    def __enter__(self) -> Self:
        with self._stack:
            self._stack.callback(lambda: stop_in_parallel(self.servers))
            start_in_parallel(self.servers)
            if self.pooler is not None:
                self._stack.callback(self.pooler.stop)
                self.pooler.start()
            if self.redis_nodes is not None:
                self._stack.callback(self.redis_nodes.stop)
                self.redis_nodes.start()
            for links in self.links.values():
                for link in links:
                    self._stack.enter_context(link)
            self._prepare()
            self._stack.callback(self._stop)
            start_in_parallel([*self.platform.processes, *self.relays])
            self.naive.start()
            self.world = self._stack.enter_context(World(self.platform))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _prepare(self) -> None:
        shared = Servers(
            database_server_url=self.pooler.url() if self.pooler else _at(self.postgres.url(), self._postgres),
            redis_url=_at(self.valkey.url(), self._redis),
            kafka_bootstrap_servers=self.bootstrap_servers,
        )
        self.platform = ServiceCluster(
            shared,
            self._folder,
            licensing=2,
            workers=2,
            org_port=self._org_port,
            asked_at=f"http://{self._http.address}",
            databases=(_ORGANIZATION, _LICENSING),
            redis_url=self.redis_nodes.url if self.redis_nodes else None,
            settings={
                "WEB_CONCURRENCY": "1",
                "WEB_THREADS": "8",
                "OUTBOX_EMBEDDED": "false",
                **({"OUTBOX_DATABASE_URL": _at(self.database_url, self._postgres)} if self.pooler else {}),
                "CONFIG_FILE": str(self.config_file),
                "ORGANIZATION_CIRCUIT_RESET_S": "0.5",
                "DEAD_LETTER_LIMIT": str(_MORE_THAN_ANY_TEST_SENDS),
                # Longer than a busy machine makes anybody wait who is not kept waiting by the fault.
                "ORGANIZATION_READ_TIMEOUT_S": "5",
                "ORGANIZATION_LOOKUP_BUDGET_S": "10",
            },
        )
        self.postgres.create_database(_ORGANIZATION)
        shifted_clock.install(self.database_url)
        self.platform.prepare()
        evidence.install_witness(self.database_url, TABLE, "INSERT OR UPDATE")
        settings = self.platform.organization_settings
        self.relays = [cluster.relay(name, settings, folder=self._folder) for name in ("relay", "relay-2")]
        # The control, by the same links.
        self.postgres.create_database(_NAIVE)
        naive.create(self.naive_database_url)
        evidence.install_witness(self.naive_database_url, naive.TABLE, "UPDATE")
        self.naive = Naive(
            database_url=_at(self.naive_database_url, self._postgres),
            redis_url=_at(self.valkey.url(_NAIVE_DATABASE), self._redis),
            bootstrap_servers=self.bootstrap_servers,
            topic="naive",
            port=self._naive_port,
            asked_at=f"http://{self._naive_http.address}",
            folder=self._folder,
        )
        definition = next(each for each in read_topics() if each.name == DEFAULT_TOPIC)
        create_topics(self.bootstrap_servers, [dataclasses.replace(definition, name=self.naive.topic)])

    def _stop(self) -> None:
        self.naive.stop()
        self.platform.stop()
        stop_in_parallel(self.relays)

    def fail_over(self) -> None:
        """The primary is killed, and the replica takes its place with what it knows; the other becomes its replica."""
        lost = self.valkey
        lost.kill()
        with redis.Redis.from_url(self.replica.url()) as client:
            client.replicaof("no", "one")
        self._redis.lead_to(f"127.0.0.1:{self.replica.port}")
        self.valkey, self.replica = self.replica, lost
        lost.start()
        with redis.Redis.from_url(lost.url()) as client:
            client.replicaof("127.0.0.1", str(self.valkey.port))

    def demote(self) -> None:
        """The primary hands over to its replica and becomes the replica; it keeps the connections that it has."""
        self.valkey, self.replica = self.replica, self.valkey
        hand_over(self.replica, self.valkey, self._redis)

    def roll_out(self, organization: Project = ORGANIZATION, licensing: Project = LICENSING) -> None:
        """Replace each process by one of these projects, as an orchestrator does: all new ones are ready beside the old
        ones, then one after the other is asked in the place of its old one, which is told to stop."""
        self._rollouts += 1
        platform, folder = self.platform, self._folder

        def name(of: str) -> str:
            return f"{of}-rollout-{self._rollouts}"

        settings, port = platform.organization_settings, free_port()
        web = cluster.web(organization, name("organization"), settings, port=port, folder=folder)
        relays = [
            cluster.relay(name(f"relay-{number}"), settings, folder=folder, project=organization)
            for number in range(len(self.relays))
        ]
        settings, ports = platform.licensing_settings, [free_port() for _ in platform.licensing]
        webs = [
            cluster.web(licensing, name(f"licensing-{number}"), settings, port=port, folder=folder)
            for number, port in enumerate(ports)
        ]
        probes = [f"127.0.0.1:{free_port()}" for _ in platform.workers]
        workers = [
            cluster.worker(
                name(f"worker-{number}"), {**settings, "PROBES_BIND": address}, folder=folder, project=licensing
            )
            for number, address in enumerate(probes)
        ]
        start_in_parallel([web, *webs, *workers, *relays])
        old, platform.organization, platform.organization_url = platform.organization, web, f"http://127.0.0.1:{port}"
        self._http.lead_to(f"127.0.0.1:{port}", drop=False)
        _drain(old)
        for number, new in enumerate(webs):
            old, platform.licensing[number] = platform.licensing[number], new
            platform.licensing_urls[number] = f"http://127.0.0.1:{ports[number]}"
            _drain(old)
        for number, new in enumerate(workers):
            old, platform.workers[number] = platform.workers[number], new
            platform.worker_urls[number] = f"http://{probes[number]}"
            old.stop()
        for number, new in enumerate(relays):
            old, self.relays[number] = self.relays[number], new
            old.stop()

    # What a test looks at, past every link.

    @property
    def database_url(self) -> str:
        return self.postgres.url(_ORGANIZATION)

    @property
    def licensing_database_url(self) -> str:
        return self.postgres.url(_LICENSING)

    @property
    def naive_database_url(self) -> str:
        return self.postgres.url(_NAIVE)

    def customers(self, count: int) -> list[Customer]:
        """New ones, known to the product and the control."""
        customers = [self.world.customer() for _ in range(count)]
        naive.add(self.naive_database_url, customers)
        return customers

    def assert_alive(self) -> None:
        """None of the product's processes has ended by itself; with 0, it was told to."""
        for process in [*self.platform.processes, *self.relays]:
            if process.returncode != 0:
                process.raise_if_dead()

    def settle(self) -> None:
        """Return when all that was committed is in the log, and all that is in the log has been applied."""
        drained = wait_until(lambda: evidence.is_drained(self.database_url), within_s=SETTLE_S)
        assert drained, "the outbox is not drained"
        last = evidence.ends(self.bootstrap_servers, self.platform.topic)
        with self.redis_nodes.client() if self.redis_nodes else redis.Redis.from_url(self.valkey.url()) as cache:
            applied = Licensing(self.world, cache).applied

            def done() -> bool:
                return all(applied(partition) >= offset for partition, offset in last.items())

            assert wait_until(done, within_s=SETTLE_S), "the log is not applied"
        with redis.Redis.from_url(self.valkey.url(_NAIVE_DATABASE)) as cache:
            self.naive.settle(cache)


def _drain(web: SupervisedProcess) -> None:
    """Stop it once those are answered who had just decided to ask it."""
    threading.Event().wait(_DRAIN_S)
    web.stop(within_s=SETTLE_S)


def hand_over(demoted: Valkey, promoted: Valkey, link: Link) -> None:
    """As an operator does it, and a managed Redis before maintenance: no process ends, no connection is closed."""
    with (
        redis.Redis.from_url(demoted.url(), decode_responses=True) as old,
        redis.Redis.from_url(promoted.url(), decode_responses=True) as new,
    ):
        assert wait_until(lambda: new.info("replication")["master_link_status"] == "up", within_s=SETTLE_S)
        old.execute_command("FAILOVER", "TO", "127.0.0.1", promoted.port)
        assert wait_until(lambda: new.info("replication")["role"] == "master", within_s=SETTLE_S)
        assert wait_until(lambda: old.info("replication")["role"] == "slave", within_s=SETTLE_S)
    link.lead_to(f"127.0.0.1:{promoted.port}", drop=False)


def _at(url: str, link: Link) -> str:
    """The same, by way of the link."""
    parts = urlsplit(url)
    user = f"{parts.username}:{parts.password}@" if parts.username else ""
    return urlunsplit(parts._replace(netloc=user + link.address))
