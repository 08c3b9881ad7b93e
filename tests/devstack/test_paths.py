"""The servers start in a folder whatever its name, and keep their data in it."""

from pathlib import Path

import psycopg
import pytest
import redis

from devstack.nginx import Nginx, NginxMissing
from devstack.rabbitmq import RabbitMQ, RabbitMQMissing
from devstack.servers import start_servers
from devstack.topics import Topic, create_topics

AWKWARD = "a folder, ü & $HOME"


def test_the_servers_start_in_a_folder_with_an_awkward_name_and_keep_their_data_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those of this run, which would be taken for the person's own.
    for name in ("DATABASE_URL", "REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS", "EVENT_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / AWKWARD
    servers = start_servers(folder, durable=True, binders=["kafka", "redis"])
    try:
        servers.create_database("organization")
        with psycopg.connect(servers.database_url("organization")) as connection:
            connection.execute("SELECT 1")
        create_topics(servers.kafka_bootstrap_servers, [Topic("things", partitions=1, copies=1, in_sync=1)])
        with redis.Redis.from_url(servers.redis_url) as client:
            client.set("name", "value")
    finally:
        servers.stop()
    assert [path.name for path in tmp_path.iterdir()] == [AWKWARD]
    for data in ("postgres/PG_VERSION", "kafka/meta.properties", "kafka/things-0", "valkey/appendonlydir"):
        assert (folder / data).exists(), data


def test_the_gateway_starts_in_a_folder_with_an_awkward_name(tmp_path: Path) -> None:
    folder = tmp_path / AWKWARD / "gateway"
    try:
        gateway = Nginx(folder, organization_port=1, licensing_port=1)
    except NginxMissing as missing:
        pytest.skip(str(missing))
    with gateway:
        assert (folder / "nginx.pid").read_text().strip() == str(gateway.pid)


def test_rabbitmq_starts_in_a_folder_with_an_awkward_name(tmp_path: Path) -> None:
    folder = tmp_path / AWKWARD / "rabbitmq"
    try:
        node = RabbitMQ(folder)
    except RabbitMQMissing as missing:
        pytest.skip(str(missing))
    with node:
        assert list(folder.glob("rabbit-*"))
    assert [path.name for path in tmp_path.iterdir()] == [AWKWARD]
