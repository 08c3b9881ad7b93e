"""`manage.py doctor` on real servers, sound and broken: each fault has its line and its exit code."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from kafka.admin import KafkaAdminClient
from pytest_django import Settings

from event_stream.doctor import Level
from event_stream.registry import registry
from manage_scripts.stack.ports import free_port
from tests.event_stream.kafka_topics import new_topic
from tests.event_stream.leaks import failed_connections, lets_sockets_leak

# Checks run on threads with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)


@dataclass(frozen=True, slots=True)
class Report:
    """What the command has said, and its exit code."""

    code: int
    findings: list[dict[str, str]]

    def of(self, subject: str) -> list[tuple[Level, str]]:
        return [(Level(each["level"]), each["text"]) for each in self.findings if each["subject"] == subject]

    def level(self, subject: str) -> Level:
        [(level, _)] = self.of(subject)
        return level


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("doctor", *arguments, stdout=out)
    except CommandError as error:
        return error.returncode, out.getvalue()
    return 0, out.getvalue()


def report() -> Report:
    code, text = run("--json")
    found = json.loads(text)
    assert {0: "ok", 3: "warning", 4: "failed"}[code] == found["level"]
    bad = [each for each in found["findings"] if each["level"] in {Level.WARNING, Level.FAILED}]
    assert all(each["remedy"] for each in bad), bad
    return Report(code, found["findings"])


def use(settings: Settings, *, dead_letters: bool = False, binder: dict[str, Any], **bindings: str) -> None:
    """Bindings with these destinations, each read by a group that is called like the binding."""
    consumer = {"dead_letters": dead_letters}
    made = {name: {"destination": topic, "group": name, "consumer": consumer} for name, topic in bindings.items()}
    settings.EVENT_STREAM = {"binders": {"main": binder}, "bindings": made}


@pytest.fixture
def kafka(kafka_bootstrap_servers: str) -> Iterator[dict[str, Any]]:
    """The tests' broker as an entry of the setting."""
    yield {"type": "kafka", "bootstrap_servers": kafka_bootstrap_servers.split(",")}
    registry().close()


def test_a_sound_service(settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str) -> None:
    use(settings, binder=kafka, here=new_topic(kafka_bootstrap_servers, 4))
    found = report()
    topic = settings.EVENT_STREAM["bindings"]["here"]["destination"]
    assert found.of(f"topic {topic}") == [(Level.OK, "4 partitions, 1 copy of each, 1 to be in sync")]
    for subject in ("settings", "database", "clock of the database", "migrations"):
        assert found.level(subject) is Level.OK
    # A single broker is all that a test has.
    assert [each["subject"] for each in found.findings if each["level"] != "ok"] == ["broker main"]
    assert found.code == 3


def test_a_line_each_with_what_to_do(settings: Settings, kafka: dict[str, Any]) -> None:
    use(settings, binder=kafka, away="no-such-topic")
    code, text = run()
    assert code == 4
    assert "failed   topic no-such-topic: is not there -> ./manage_scripts/create_topics makes it" in text.splitlines()
    assert text.splitlines()[-1].startswith("1 failed, 1 warning, ")


@lets_sockets_leak
def test_a_broker_that_is_away(settings: Settings) -> None:
    use(settings, binder={"type": "kafka", "bootstrap_servers": [f"127.0.0.1:{free_port()}"]}, a="one", b="two")
    with failed_connections():
        found = report()
    [(level, text)] = found.of("broker main")
    assert level is Level.FAILED
    assert "no Kafka broker" in text
    assert (found.level("topic one"), found.level("topic two")) == (Level.UNKNOWN, Level.UNKNOWN)
    assert found.level("database") is Level.OK
    assert found.code == 4


def test_a_platform_that_does_not_tell(settings: Settings) -> None:
    use(settings, binder={"type": "memory"}, a="one")
    assert report().of("broker main") == [(Level.UNKNOWN, "not known on this platform")]
    assert report().code == 0


def test_dead_letters_need_a_topic_like_their_source(
    settings: Settings, kafka: dict[str, Any], kafka_bootstrap_servers: str
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 3)
    use(settings, binder=kafka, readers=topic, dead_letters=True)
    assert report().of(f"topic {topic}.readers.dlq") == [(Level.FAILED, "is not there")]
    client = KafkaAdminClient(bootstrap_servers=kafka["bootstrap_servers"])
    client.create_topics({f"{topic}.readers.dlq": {"num_partitions": 2, "replication_factor": 1}})
    client.close()
    found = report()
    assert (Level.FAILED, "has 2 partitions where 3 should be, as many as its source") in found.of(
        f"topic {topic}.readers.dlq"
    )
    assert any("without their bodies" in text for _, text in found.of(f"topic {topic}.readers.dlq"))
    assert found.code == 4


def test_a_database_that_is_away(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    use(settings, binder={"type": "memory"}, a="one")
    monkeypatch.setitem(connections["default"].settings_dict, "PORT", free_port())
    found = report()
    [(level, text)] = found.of("database")
    assert level is Level.FAILED
    assert "refused" in text
    assert found.level("migrations") is Level.UNKNOWN
    assert found.code == 4


def test_a_wrong_setting_has_its_line(settings: Settings) -> None:
    settings.EVENT_STREAM = {"binders": {"main": {"type": "memory"}}, "bindings": {"a": {}}}
    found = report()
    assert any("['bindings']['a']['destination'] is missing" in text for _, text in found.of("settings"))
    assert found.code == 4
