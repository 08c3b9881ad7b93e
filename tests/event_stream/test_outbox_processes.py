"""Relays as processes, on real servers: killed, told to stop, cut off from Kafka and from PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from devstack.kafka import Kafka
from devstack.postgres import Postgres
from event_stream.messaging.message import Message
from event_stream.outbox import emit_many
from event_stream.outbox.api import Emission
from event_stream.outbox.models import OutboxEntry
from tests.event_stream.demo.models import BINDING
from tests.event_stream.outbox_world import DEADLY, create_topic, offsets, published, read_topic, until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def topic(kafka_bootstrap_servers: str) -> str:
    name = f"widgets-{uuid.uuid4().hex}"
    create_topic(kafka_bootstrap_servers, name)
    return name


def database_url() -> str:
    """Of the database that the tests run in."""
    database = connection.settings_dict
    return "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format_map(database)


class RelayProcess:
    """`manage.py relay_outbox`, and what it has logged."""

    def __init__(self, topic: str, log: Path, *arguments: str, **environment: str) -> None:
        self._log = log
        settings = "tests.event_stream.outbox_process_settings"
        own = {"DJANGO_SETTINGS_MODULE": settings, "DATABASE_URL": database_url(), "OUTBOX_TOPIC": topic}
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "django", "relay_outbox", *arguments],
                env=os.environ | own | environment,
                stderr=stderr,
                cwd=Path(__file__).parents[2],
            )

    def lines(self) -> list[dict[str, Any]]:
        # The last one may still be on its way.
        whole = self._log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def logged(self, event: str) -> int:
        assert self.process.poll() is None, self._log.read_text()
        return sum(line["event"] == event for line in self.lines())


@contextmanager
def relay_process(topic: str, folder: Path, *arguments: str, **environment: str) -> Iterator[RelayProcess]:
    relay = RelayProcess(topic, folder / f"{uuid.uuid4().hex}.log", *arguments, **environment)
    try:
        yield relay
    finally:
        relay.process.kill()
        relay.process.wait()


def write(count: int, keys: int = 5, start: int = 0) -> None:
    numbers = range(start, start + count)
    with transaction.atomic():
        emit_many(BINDING, [Emission(Message({"n": n}, key=f"k{n % keys}"), version=n) for n in numbers])


def assert_complete_and_in_order(bootstrap_servers: str, topic: str, count: int, keys: int = 5) -> int:
    """Each message is in the log where its entry says; a key never ends on an old one. Returns how many are twice."""
    log = read_topic(bootstrap_servers, topic)
    at = {(record.partition, record.offset): json.loads(record.value or b"")["n"] for record in log}
    for entry in OutboxEntry.objects.all():
        assert at[entry.partition or 0, entry.offset if entry.offset is not None else -1] == entry.version
    assert OutboxEntry.objects.filter(published_at__isnull=False).count() == count
    for number in range(keys):
        key = f"k{number}"
        assert offsets(key) == sorted(offsets(key))
        told = [json.loads(record.value or b"")["n"] for record in log if record.key == key.encode()]
        first = list(dict.fromkeys(told))
        last = list(dict.fromkeys(reversed(told)))[::-1]
        assert first == last == list(range(number, count, keys))
    return len(log) - count


def test_killed_between_sending_and_marking_it_sends_again_and_loses_nothing(
    kafka_bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    write(200)
    with relay_process(topic, tmp_path, OUTBOX_BINDER=DEADLY, DIE_AFTER="120") as first:
        assert first.process.wait(60) == -signal.SIGKILL
    # The first two batches of 50 were marked, and of the third a part was sent and not marked.
    assert published() == 100
    with relay_process(topic, tmp_path, "--until-drained") as second:
        assert second.process.wait(60) == 0
    twice = assert_complete_and_in_order(kafka_bootstrap_servers, topic, 200)
    assert 20 <= twice <= 50


def test_a_waiting_relay_takes_over_from_one_that_is_killed(
    kafka_bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    with relay_process(topic, tmp_path) as leader:
        until(lambda: leader.logged("outbox.leader"))
        with relay_process(topic, tmp_path) as follower:
            write(50)
            until(lambda: published() == 50)
            assert follower.logged("outbox.leader") == 0
            leader.process.kill()
            write(50, start=50)
            until(lambda: published() == 100)
            assert follower.logged("outbox.leader") == 1
    assert assert_complete_and_in_order(kafka_bootstrap_servers, topic, 100) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_when_told_to(number: signal.Signals, topic: str, tmp_path: Path) -> None:
    with relay_process(topic, tmp_path) as relay:
        until(lambda: relay.logged("outbox.leader"))
        relay.process.send_signal(number)
        assert relay.process.wait(30) == 0


def test_until_drained_says_when_a_message_had_to_be_parked(
    kafka_bootstrap_servers: str, topic: str, tmp_path: Path
) -> None:
    with transaction.atomic():
        payloads = [{"n": 0}, {"n": 1, "text": "x" * 2_000_000}, {"n": 2}]
        emit_many(BINDING, [Emission(Message(payload, key="k"), version=n) for n, payload in enumerate(payloads)])
    with relay_process(topic, tmp_path, "--until-drained") as relay:
        assert relay.process.wait(60) == 3
    told = [json.loads(record.value or b"")["n"] for record in read_topic(kafka_bootstrap_servers, topic)]
    assert told == [0, 2]
    assert "bytes" in OutboxEntry.objects.get(version=1).error


def test_a_wrong_setting_ends_it_with_a_sentence(topic: str, tmp_path: Path) -> None:
    with relay_process(topic, tmp_path, OUTBOX_BINDER="carrier pigeon") as relay:
        assert relay.process.wait(60) == 1


def test_writers_do_not_wait_for_kafka_and_its_return_drains_the_backlog(tmp_path: Path) -> None:
    # A broker that comes back at once is let in when its old session is over: after 9 s by default.
    quick = {"broker.session.timeout.ms": "1000", "broker.heartbeat.interval.ms": "100"}
    with Kafka(tmp_path / "kafka", settings=quick) as kafka:
        create_topic(kafka.bootstrap_servers, "widgets")
        environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers}
        with relay_process("widgets", tmp_path, **environment) as relay:
            write(50)
            until(lambda: published() == 50)
            kafka.kill()
            write(300, start=50)
            until(lambda: relay.logged("outbox.unreachable"))
            kafka.start()
            until(lambda: published() == 350, within_s=120)
            until(lambda: relay.logged("outbox.reachable"))
            assert relay.logged("outbox.unreachable") == 1
        assert_complete_and_in_order(kafka.bootstrap_servers, "widgets", 350)


def test_a_restart_of_postgresql_is_survived(topic: str, kafka_bootstrap_servers: str, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        # PostgreSQL, started by root, runs as somebody else, who has to get to its data.
        Path(folder).chmod(0o711)
        with Postgres(Path(folder) / "data", durable=False) as server:
            environment = {"DATABASE_URL": server.url()}
            with relay_process(topic, tmp_path, **environment) as relay:
                # It may be there before its table is.
                until(lambda: relay.logged("outbox.unreachable"))
                _migrate(server.url())
                until(lambda: relay.logged("outbox.leader") == 1)
                server.restart()
                until(lambda: relay.logged("outbox.leader") == 2)
                with psycopg.connect(server.url(), autocommit=True) as client:
                    client.execute("INSERT INTO demo_widget (id) VALUES ('a')")
                until(lambda: relay.logged("outbox.batch") == 1)
                assert relay.logged("outbox.unreachable") == 2
    assert [record.key for record in read_topic(kafka_bootstrap_servers, topic)] == [b"a"]


def _migrate(url: str) -> None:
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.event_stream.settings", "DATABASE_URL": url}
    command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
    subprocess.run(command, env=environment, check=True, cwd=Path(__file__).parents[2])
