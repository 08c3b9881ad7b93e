"""The three servers, for real: started, crashed, frozen and brought back with what they knew."""

import re
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
import redis
from kafka.admin import KafkaAdminClient

from devstack import Kafka, Postgres, Servers, Valkey, kafka_cluster, start_in_parallel, stop_in_parallel, wait_until
from devstack.brokers import RabbitBroker
from devstack.errors import StackError, UnreachableError
from devstack.servers import start_servers
from devstack.topics import Topic, create_topics


def test_postgres_survives_a_crash_with_what_was_committed(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres") as postgres:
        assert postgres.create_database("organization")
        assert not postgres.create_database("organization")
        with psycopg.connect(postgres.url("organization")) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        postgres.kill()
        postgres.start()
        with psycopg.connect(postgres.url("organization")) as connection:
            assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_postgres_wants_its_password(tmp_path: Path) -> None:
    with (
        Postgres(tmp_path / "postgres", durable=False) as postgres,
        pytest.raises(psycopg.OperationalError, match="password"),
    ):
        psycopg.connect(re.sub(r":[^:@]+@", "@", postgres.url()))


def test_a_frozen_postgres_keeps_its_clients_waiting_until_it_is_resumed(tmp_path: Path) -> None:
    with Postgres(tmp_path / "postgres", durable=False) as postgres:
        postgres.pause()
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            psycopg.connect(postgres.url(), connect_timeout=2)
        postgres.resume()
        with psycopg.connect(postgres.url()) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_valkey_keeps_its_data_over_a_restart_and_a_replica_can_take_over(tmp_path: Path) -> None:
    with (
        Valkey(tmp_path / "primary") as primary,
        Valkey(tmp_path / "replica", replica_of=primary.port) as replica,
        redis.Redis.from_url(primary.url()) as client,
        redis.Redis.from_url(replica.url()) as copy,
    ):
        client.set("name", "value")
        assert wait_until(lambda: copy.get("name") == b"value", within_s=10)
        primary.restart()
        assert client.get("name") == b"value"
        primary.kill()
        copy.execute_command("REPLICAOF", "NO", "ONE")
        assert copy.set("name", "another")


def test_kafka_makes_a_topic_once_and_refuses_to_change_its_partitions(tmp_path: Path) -> None:
    topic = Topic("things", partitions=2, copies=3, in_sync=2)
    with Kafka(tmp_path / "kafka") as kafka:
        assert "copies of each: 1 (3 are wanted" in create_topics(kafka.bootstrap_servers, [topic])[0]
        kafka.restart()
        assert create_topics(kafka.bootstrap_servers, [topic]) == ["things is there: 2 partitions"]
        with pytest.raises(StackError, match="has 2 partitions where 3 are wanted"):
            create_topics(kafka.bootstrap_servers, [Topic("things", partitions=3, copies=1, in_sync=1)])


def test_three_nodes_are_one_cluster_that_copies_everything(tmp_path: Path) -> None:
    nodes = kafka_cluster(tmp_path)
    with ExitStack() as cleanup:
        start_in_parallel(nodes)
        cleanup.callback(stop_in_parallel, nodes)
        servers = ",".join(node.bootstrap_servers for node in nodes)
        admin = KafkaAdminClient(bootstrap_servers=servers.split(","))
        cleanup.callback(admin.close)
        assert wait_until(lambda: len(admin.describe_cluster()["brokers"]) == 3, within_s=30)
        assert create_topics(servers, [Topic("things", partitions=3, copies=3, in_sync=2)]) == [
            "things created: 3 partitions, copies of each: 3"
        ]


def test_own_servers_are_used_and_none_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Postgres(tmp_path / "postgres", durable=False) as postgres, Valkey(tmp_path / "valkey") as valkey:
        monkeypatch.setenv("DATABASE_URL", postgres.url())
        monkeypatch.setenv("REDIS_URL", valkey.url())
        # Anything that accepts connections will do for what is checked here.
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{valkey.port}")
        servers = start_servers(tmp_path / "ours", durable=False)
        assert servers.processes == ()
        assert servers.create_database("organization")
        assert servers.database_url("organization") == postgres.url("organization")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("DATABASE_URL", "postgresql://127.0.0.1:1/postgres"),
        ("REDIS_URL", "redis://127.0.0.1:1/0"),
        ("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
        ("KAFKA_BOOTSTRAP_SERVERS", "localhost"),
    ],
)
def test_an_own_server_that_does_not_answer_is_named(
    name: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(UnreachableError, match=name):
        start_servers(tmp_path, durable=False)


def test_an_own_rabbitmq_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("amqp://127.0.0.1:1", "rabbit"):
        monkeypatch.setenv("RABBITMQ_URL", url)
        with pytest.raises(UnreachableError, match="RABBITMQ_URL"):
            start_servers(tmp_path, durable=False, binders=["rabbitmq"])
        with pytest.raises(StackError, match="RabbitMQ can't be reached"):
            RabbitBroker(url).create_topics([Topic("things", partitions=3, copies=1, in_sync=1)])


def test_servers_of_the_same_data_come_back_where_they_were(tmp_path: Path) -> None:
    def start() -> Servers:
        return start_servers(tmp_path, durable=True)

    first = start()
    assert first.create_database("kept")
    first.stop()
    second = start()
    try:
        assert not second.create_database("kept")
    finally:
        second.stop()
