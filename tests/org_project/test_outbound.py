"""The bytes on the topic, in each dialect and format: an organization changes, and `relay_outbox` sends its events."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_kafka
from cloudevents.core.formats.json import JSONFormat
from django.conf import settings
from django.db import connection
from jsonschema import Draft202012Validator

from devstack.topics import Topic, create_topics
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.conf import Binding
from event_stream.messaging.message import ConsumerRecord
from event_stream.testing.waiting import wait_until
from organizations.models import Organization
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.org_project import spring_consumer
from tests.org_project.spring_consumer import Outcome

pytestmark = lets_sockets_leak

Publish = Callable[..., list[ConsumerRecord]]
CHANGES = 3


@pytest.fixture
def publish(transactional_db: None, kafka_bootstrap_servers: str) -> Publish:
    """Make, change and delete an organization, send that with these settings, and read it back."""

    def run(**environment: str) -> list[ConsumerRecord]:
        topic = f"outbound-{uuid.uuid4()}"
        create_topics(kafka_bootstrap_servers, [Topic(topic, 1, 1, 1)])
        organization = Organization.objects.create(name="Observatory")
        organization.save()
        organization.delete()
        url = os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{connection.settings_dict['NAME']}"
        argv = [sys.executable, str(settings.BASE_DIR / "manage.py"), "relay_outbox"]
        environment = {**os.environ, "DATABASE_URL": url, "ORG_CHANGE_TOPIC": topic, **environment}
        binder = KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers.split(",")})
        records: list[ConsumerRecord] = []

        def all_there() -> bool:
            records[:] = binder.read(Binding("in", topic, "kafka"))
            return len(records) > CHANGES and None in {each.key for each in records}

        # A busy machine gives up a connection now and then, and tries again.
        with failed_connections(), subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL) as relay:
            try:
                wait_until(all_there, "the changes and a heartbeat are in the topic", timeout_s=60)
            finally:
                relay.terminate()
        return records

    return run


def body(record: ConsumerRecord) -> Any:
    return json.loads(record.value or b"")


def split(records: list[ConsumerRecord]) -> tuple[list[ConsumerRecord], list[ConsumerRecord]]:
    """Changes, and heartbeats."""
    changes = [each for each in records if each.key is not None]
    heartbeats = [each for each in records if each.key is None]
    assert len(changes) == CHANGES
    return changes, heartbeats


@pytest.mark.parametrize(("value", "headers", "expected"), spring_consumer.TRIED)
def test_the_model_of_the_books_consumer_does_what_was_seen(value: Any, headers: Any, expected: Outcome) -> None:
    assert spring_consumer.outcome(value, headers) is expected


def test_in_springs_words_the_books_consumer_evicts_what_is_changed_or_deleted(
    publish: Publish, event_schema: Draft202012Validator
) -> None:
    changes, heartbeats = split(publish(ORG_CHANGE_ACTIONS="spring"))
    assert [body(each)["action"] for each in changes] == ["SAVE", "UPDATE", "DELETE"]
    outcomes = [spring_consumer.outcome(each.value, each.headers) for each in changes]
    assert outcomes == [Outcome.LOGGED, Outcome.EVICTED, Outcome.EVICTED]
    assert {spring_consumer.outcome(each.value, each.headers) for each in heartbeats} == {Outcome.PASSED_OVER}
    for each in changes + heartbeats:
        event_schema.validate(body(each))


def test_in_the_words_of_the_text_it_evicts_nothing(publish: Publish, event_schema: Draft202012Validator) -> None:
    changes, heartbeats = split(publish())
    assert [body(each)["action"] for each in changes] == ["CREATED", "UPDATED", "DELETED"]
    assert [spring_consumer.outcome(each.value, each.headers) for each in changes] == [Outcome.UNKNOWN] * 3
    assert {spring_consumer.outcome(each.value, each.headers) for each in heartbeats} == {Outcome.PASSED_OVER}
    for each in changes + heartbeats:
        event_schema.validate(body(each))


@pytest.mark.parametrize("format", ["cloudevents", "cloudevents-binary"])
def test_the_cloudevents_library_reads_each_event(
    publish: Publish, event_schema: Draft202012Validator, format: str
) -> None:
    changes, heartbeats = split(publish(ORG_CHANGE_FORMAT=format))
    for record in changes + heartbeats:
        headers = dict(record.headers)
        is_binary = any(name.startswith("ce_") for name in headers)
        assert is_binary == (format == "cloudevents-binary")
        assert headers["content-type"] == (b"application/json" if is_binary else b"application/cloudevents+json")
        message = KafkaMessage(headers, record.key, record.value or b"")
        event = from_binary(message, JSONFormat()) if is_binary else from_kafka(message, JSONFormat())
        data: Any = event.get_data()
        event_schema.validate(data)
        assert event.get_source() == "/v1/organization"
        assert event.get_type() == data["type"]
        assert event.get_subject() == data.get("organizationId")
        assert event.get_id() == data.get("eventId", f"as-of-{data.get('asOf')}")
        assert event.get_time() == datetime.fromisoformat(data.get("occurredAt") or data["asOf"])
        assert event.get_extension("partitionkey") == (record.key.decode() if record.key else None)
