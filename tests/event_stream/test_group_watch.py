"""A plain consumer of another make in the worker's group, on a real Kafka: the doctor and the worker notice it."""

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import kafka
import pytest
from pytest_django import Settings

from event_stream import Sink
from event_stream.binders.memory import MemoryBinder
from event_stream.consumer.group_watch import REMEDY, GroupWatch
from event_stream.consumer.worker import Worker
from event_stream.doctor import Finding, Level, bindings
from event_stream.messaging.channel import registry
from tests.event_stream.kafka_topics import new_topic
from tests.event_stream.outbox_world import until

# The doctor asks which partitions a person has paused.
pytestmark = pytest.mark.django_db


@pytest.fixture
def topic(settings: Settings, kafka_bootstrap_servers: str) -> Iterator[str]:
    """With two partitions, which the binding `readers` reads for a group of that name and topic."""
    name = new_topic(kafka_bootstrap_servers, 2)
    settings.EVENT_STREAM = {
        "binders": {"main": {"type": "kafka", "bootstrap_servers": kafka_bootstrap_servers.split(",")}},
        "bindings": {"readers": {"destination": name, "group": f"of-{name}"}},
    }
    yield name
    registry().close()


@contextmanager
def ours() -> Iterator[Worker]:
    ended = threading.Event()
    worker = Worker("readers", Sink(registry().channel("readers").binding, lambda _: None))
    thread = threading.Thread(target=worker.run, args=(ended.is_set,))
    thread.start()
    try:
        until(lambda: worker.ready)
        yield worker
    finally:
        ended.set()
        thread.join()


@contextmanager
def theirs(servers: str, topic: str, group: str) -> Iterator[None]:
    """As any other service would read, a Java one for instance; until it has a partition, and on."""
    consumer = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=servers.split(","),
        group_id=group,
        client_id="consumer-licensingGroup-1",
        # It may come before the brokers know of the new topic.
        metadata_max_age_ms=500,
    )
    ended, has_one = threading.Event(), threading.Event()

    def read() -> None:
        with closing(consumer):
            while not ended.is_set():
                consumer.poll(timeout_ms=100)
                if consumer.assignment():
                    has_one.set()

    thread = threading.Thread(target=read)
    thread.start()
    try:
        assert has_one.wait(60)
        yield
    finally:
        ended.set()
        thread.join()


def of_group() -> dict[str, Finding]:
    return {each.subject: each for each in bindings.check_group("readers", worker="manage.py read")}


def watch(worker: Worker) -> GroupWatch:
    binding = registry().channel("readers").binding
    return GroupWatch(binding, registry().binder(binding.binder), reading=lambda: worker.reading, every_s=0.1)


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.message.startswith("worker.group_")]


def test_a_member_that_is_not_ours_is_noticed(
    topic: str, kafka_bootstrap_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "event_stream.consumer.worker")
    group, stopped = f"of-{topic}", threading.Event()
    with ours() as worker:
        watch(worker).start(stopped, first_after_s=0)
        try:
            with theirs(kafka_bootstrap_servers, topic, group):
                until(lambda: f"group {group}: others" in of_group())
                until(lambda: "worker.group_is_shared" in events(caplog))
                found = of_group()
                shared = found[f"group {group}: others"]
            until(lambda: events(caplog)[-1] == "worker.group_is_ours")
        finally:
            stopped.set()
        assert f"group {group}: others" not in of_group()
    assert (shared.level, shared.remedy) == (Level.FAILED, REMEDY)
    assert "consumer-licensingGroup-1 at " in shared.text
    assert re.search(r" reads partition [01], of which none of ours hears$", shared.text)
    assert found[f"group {group}"].text.startswith("1 member, ")
    assert events(caplog) == ["worker.group_is_shared", "worker.group_is_ours"]
    [line] = [record for record in caplog.records if record.message == "worker.group_is_shared"]
    assert (line.levelno, vars(line)["group"], vars(line)["remedy"]) == (logging.ERROR, group, REMEDY)


def test_where_only_others_read_nobody_of_ours_does(topic: str, kafka_bootstrap_servers: str) -> None:
    with theirs(kafka_bootstrap_servers, topic, f"of-{topic}"):
        until(lambda: f"group of-{topic}: others" in of_group())
        found = of_group()
    assert "reads partitions 0, 1, of which" in found[f"group of-{topic}: others"].text
    assert found[f"group of-{topic}"].text.startswith("nobody reads")


def test_a_group_of_its_own_is_nobody_elses_business(
    topic: str, kafka_bootstrap_servers: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ours() as worker, theirs(kafka_bootstrap_servers, topic, f"java-{topic}"):
        watch(worker).look()
        found = of_group()
    assert found[f"group of-{topic}"].text == "1 member, 0 messages waiting"
    assert (f"group of-{topic}: others" in found, events(caplog)) == (False, [])


def test_a_broker_that_is_away_is_not_asked_and_one_that_tells_nothing_neither(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EVENT_STREAM = {
        "binders": {"main": {"type": "memory"}},
        "bindings": {"readers": {"destination": "t", "group": "g"}},
    }
    binding = registry().channel("readers").binding
    GroupWatch(binding, MemoryBinder("main", {}), reading=lambda: True).look()

    class Away(MemoryBinder):
        def describe(self, _: Any) -> Any:
            raise AssertionError("it is not to be asked")

        def limits(self, _: Any) -> Any: ...

    asked, stopped = threading.Event(), threading.Event()

    def reading() -> bool:
        asked.set()
        return False

    GroupWatch(binding, Away("main", {}), reading=reading).start(stopped, first_after_s=0)
    assert asked.wait(30)
    stopped.set()
    assert events(caplog) == []
    registry().close()
