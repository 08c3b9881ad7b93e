"""A machine without Kafka's jars: Redis Streams carries the messages, and that is said. And one without RabbitMQ."""

import shutil
from pathlib import Path

import pytest

from devstack import jars, rabbitmq, servers
from devstack.commands.run import _default_binder
from devstack.commands.test import _binders
from devstack.console import Console
from devstack.errors import JarsUnavailableError
from devstack.ports import free_port
from devstack.rabbitmq import RabbitMQMissing
from devstack.servers import start_servers
from devstack.test_sessions import SESSIONS, concerned


@pytest.fixture(autouse=True)
def unreachable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No jars yet, and no way to their repository: what resolves them fails for real."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setattr(jars, "_failures", [])
    monkeypatch.setattr(jars, "LOCAL", tmp_path)
    monkeypatch.setattr(jars, "_JARS", tmp_path / "jars")
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, nobody)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def test_run_goes_on_with_redis_streams_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert _default_binder(Console()) == "redis"
    said = capsys.readouterr().err
    assert said.startswith("! Kafka can't be had here: Redis Streams carries the messages instead")
    assert "Kafka's jars could not be fetched" in said


def test_the_tests_go_on_without_kafka_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    binders, notices = _binders(None, SESSIONS)
    assert "kafka" not in binders
    assert binders[0] == "redis"
    assert notices[0] in capsys.readouterr().err


def test_who_asks_for_kafka_is_refused() -> None:
    with pytest.raises(JarsUnavailableError, match="could not be fetched"):
        _binders("kafka", SESSIONS)


@pytest.fixture
def no_rabbitmq(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither is Debian's there nor one on the PATH."""
    monkeypatch.delenv("RABBITMQ_URL", raising=False)
    monkeypatch.setattr(rabbitmq, "_DEBIAN", tmp_path / "none")
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("no_rabbitmq")
def test_the_tests_go_on_without_rabbitmq_and_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    binders, notices = _binders(None, SESSIONS)
    assert "rabbitmq" not in binders
    assert any("Nothing runs on RabbitMQ" in notice and "install the package" in notice for notice in notices)
    assert "Nothing runs on RabbitMQ" in capsys.readouterr().err


@pytest.mark.usefixtures("no_rabbitmq")
def test_who_asks_for_rabbitmq_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(RabbitMQMissing, match="install the package `rabbitmq-server`"):
        _binders("rabbitmq", SESSIONS)
    with pytest.raises(RabbitMQMissing, match="install the package"):
        start_servers(tmp_path, durable=False, binders=["rabbitmq"])


def test_rabbitmq_is_started_where_whole_sessions_run_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RABBITMQ_URL", "amqp://127.0.0.1:1")
    assert "rabbitmq" in _binders(None, concerned(["tests/e2e"]))[0]
    assert "rabbitmq" not in _binders(None, concerned(["tests/event_stream"]))[0]


def test_a_kafka_of_ones_own_needs_no_jars(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    servers.fetch("kafka")
    assert capsys.readouterr().err == ""


def test_jars_that_are_not_what_the_lock_file_says_are_not_used(tmp_path: Path) -> None:
    there = tmp_path / "jars"
    there.mkdir()
    shutil.copy(__file__, there / "kafka_2.13-4.1.1.jar")
    assert jars.are_missing()
    with pytest.raises(JarsUnavailableError):
        servers.fetch("kafka")
