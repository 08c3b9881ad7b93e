"""Which folders a pytest session collects, and the servers it talks to.

`./manage_scripts/test` starts the servers and one session per Django project (`devstack/test_sessions.py`);
by itself, pytest collects the folders that need no Django project.
"""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from devstack.errors import JarsUnavailableError
from devstack.rabbitmq import RabbitMQ, RabbitMQMissing
from devstack.servers import Servers
from devstack.test_sessions import OTHER, SESSION_VARIABLE, sessions_of


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    names = {session.name for session in sessions_of(collection_path)}
    return None if os.environ.get(SESSION_VARIABLE, OTHER.name) in names else True


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup() -> Generator[None, object, object]:
    return (yield from _skipping_without_jars())


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    return (yield from _skipping_without_jars())


def _skipping_without_jars() -> Generator[None, object, object]:
    """A test that starts a Kafka of its own, on a machine where there can be none."""
    try:
        return (yield)
    except JarsUnavailableError as error:
        pytest.skip(f"there is no Kafka on this machine: {error}")


@pytest.fixture(scope="session")
def servers() -> Servers:
    """The running PostgreSQL, Valkey and brokers; databases `organization` and `licensing` exist."""
    try:
        return Servers(
            database_server_url=os.environ["DATABASE_URL"],
            redis_url=os.environ["REDIS_URL"],
            kafka_bootstrap_servers=os.environ.get("KAFKA_BOOTSTRAP_SERVERS", ""),
            event_redis_url=os.environ.get("EVENT_REDIS_URL", ""),
            rabbitmq_url=os.environ.get("RABBITMQ_URL", ""),
            binder=os.environ["EVENT_BINDER"],
        )
    except KeyError as missing:
        pytest.fail(f"{missing.args[0]} is not set: run the tests with ./manage_scripts/test, which starts the servers")


@pytest.fixture(scope="session")
def database_url(servers: Servers) -> str:
    """Of a database that exists and may be used to reach the server; not one to fill."""
    return servers.database_server_url


@pytest.fixture(scope="session")
def redis_url(servers: Servers) -> str:
    return servers.redis_url


@pytest.fixture(scope="session")
def kafka_bootstrap_servers(servers: Servers) -> str:
    return servers.kafka_bootstrap_servers or pytest.skip("there is no Kafka in this run")


@pytest.fixture(scope="session")
def event_redis_url(servers: Servers) -> str:
    """Of the Redis that carries events."""
    return servers.event_redis_url or pytest.skip("there is no Redis for events in this run")


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of RABBITMQ_URL, or of a node of our own, which takes seconds to start: for the sessions that ask for it."""
    if own := os.environ.get("RABBITMQ_URL"):
        yield own
        return
    try:
        node = RabbitMQ(tmp_path_factory.mktemp("rabbitmq") / "node")
    except RabbitMQMissing as missing:
        pytest.skip(str(missing))
    with node:
        yield node.url
