"""`manage.py doctor` where RabbitMQ carries the messages: what it tells, and what can't be asked of it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from pytest_django import Settings

from devstack.ports import free_port
from event_stream import Message, ProducerRecord, RejectedError, Sink, UnavailableError
from event_stream.binders.rabbitmq.binder import RabbitBinder
from event_stream.consumer.worker import StopCondition, Worker
from event_stream.dead_letters import error_handler_for
from event_stream.doctor import Level
from event_stream.messaging.binder import Description, Group, TopicDescription
from event_stream.messaging.channel import registry
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.event_stream.test_doctor import last, of_group, report, use

# Checks run on threads with connections of their own.
pytestmark = pytest.mark.django_db(transaction=True)

PARTITIONS = 3


@pytest.fixture
def rabbitmq(rabbitmq_url: str) -> Iterator[dict[str, Any]]:
    """The tests' broker as an entry of the setting."""
    yield {"type": "rabbitmq", "url": rabbitmq_url, "partitions": PARTITIONS}
    registry().close()


@pytest.fixture
def topic() -> str:
    return f"doctor-{uuid4()}"


def read_all(handle: Any = lambda _: None) -> None:
    """As a worker that ends once it has read what is there; the first one makes the group's queues."""
    Worker("readers", sink(handle)).run(lambda: False, StopCondition.CAUGHT_UP)


def sink(handle: Any) -> Sink:
    binding = registry().channel("readers").binding
    return Sink(binding, handle, error_handler=error_handler_for(binding))


def send(topic: str, count: int) -> None:
    for number in range(count):
        record = ProducerRecord(topic, b"k", b"%d" % number, (), number % PARTITIONS)
        registry().channel("readers").publish(record).result(20)


def described() -> Description:
    binding = registry().channel("readers").binding
    binder = registry().binder(binding.binder)
    assert isinstance(binder, RabbitBinder)
    return binder.describe(binding)


def test_what_nobody_has_used_is_not_there_and_is_made_by_use(
    settings: Settings, rabbitmq: dict[str, Any], topic: str
) -> None:
    use(settings, binder=rabbitmq, readers=topic, dead_letters=True)
    for _ in range(2):
        # Asked twice: looking makes nothing.
        found = report()
        for subject in (f"topic {topic}", f"topic {topic}.readers.dlq"):
            assert found.of(subject) == [(Level.FAILED, "is not there")]
            [remedy] = [each["remedy"] for each in found.findings if each["subject"] == subject]
            assert remedy == "start those who send to it or read from it: the first one makes it"
        assert found.of("broker main") == [(Level.OK, "answers")]
        assert found.level("dead letters of readers") is Level.UNKNOWN
    assert last(of_group()) == (Level.UNKNOWN, f"{topic} is not there")


def test_a_group_that_is_read_for_and_one_that_nobody_reads_for(
    settings: Settings, rabbitmq: dict[str, Any], topic: str
) -> None:
    use(settings, binder=rabbitmq, readers=topic, dead_letters=True)
    done = threading.Event()
    worker = Worker("readers", sink(lambda _: None))
    thread = threading.Thread(target=worker.run, args=(done.is_set,))
    thread.start()
    try:
        wait_until(lambda: worker.ready, "ready")
        wait_until(lambda: last(of_group()) == (Level.OK, "1 member, 0 messages waiting"), "it is seen to read")
        found = report()
    finally:
        done.set()
        thread.join()
    assert found.of(f"topic {topic}") == [(Level.OK, "3 partitions")]
    assert found.of(f"topic {topic}.readers.dlq") == [(Level.OK, "is there")]
    assert found.of("dead letters of readers") == [(Level.OK, "none")]
    send(topic, 4)
    wait_until(lambda: last(of_group()) == (Level.FAILED, "nobody reads, and 4 messages wait"), "they wait")


def test_a_later_group_gets_nothing_from_before_it_which_is_no_fault_of_its_settings(
    settings: Settings, rabbitmq: dict[str, Any], topic: str
) -> None:
    use(settings, binder=rabbitmq, readers=topic)
    [first] = [each for each in of_group() if each.subject.endswith("first read")]
    assert (first.level, "keeps nothing for a later group" in first.text) == (Level.OK, True)


def test_members_are_counted_whether_they_have_a_partition_or_not(
    settings: Settings, rabbitmq: dict[str, Any], topic: str
) -> None:
    use(settings, binder=rabbitmq, readers=topic)
    binding = registry().channel("readers").binding
    binder = registry().binder(binding.binder)
    with closing(Reader(binder, binding)) as one, closing(Reader(binder, binding)) as other:
        one.read_until(lambda it: it.joined, "joined")
        other.read_until(lambda it: it.joined, "joined")
        expected = Description(destination=TopicDescription(PARTITIONS), group=Group(2, 0), made_by_use=True)
        wait_until(lambda: described() == expected, "both are seen", timeout_s=60)


def test_dead_letters_that_wait(settings: Settings, rabbitmq: dict[str, Any], topic: str) -> None:
    use(settings, binder=rabbitmq, readers=topic, dead_letters=True)

    def refuse(_: Message[Any]) -> None:
        raise RejectedError("never")

    read_all()
    send(topic, 1)
    read_all(refuse)
    [(level, text)] = report().of("dead letters of readers")
    assert (level, text.startswith("1 wait, the oldest for 0:00:")) == (Level.WARNING, True)


@lets_sockets_leak
def test_a_broker_that_is_away(settings: Settings) -> None:
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}"  # pragma: allowlist secret
    use(settings, binder={"type": "rabbitmq", "url": url}, a="one", b="two")
    with failed_connections():
        found = report()
    [(level, text)] = found.of("broker main")
    assert (level, "does not answer" in text, "guest" in text) == (Level.FAILED, True, False)
    assert (found.level("topic one"), found.level("topic two")) == (Level.UNKNOWN, Level.UNKNOWN)
    assert found.code == 4


@lets_sockets_leak
def test_a_broker_that_takes_connections_and_says_nothing_is_given_up(settings: Settings) -> None:
    with failed_connections(), socket.create_server(("127.0.0.1", 0)) as server:
        url = f"amqp://127.0.0.1:{server.getsockname()[1]}"
        use(settings, binder={"type": "rabbitmq", "url": url, "connect_timeout_ms": 300}, readers="any")
        with pytest.raises(UnavailableError, match="does not answer"):
            described()
    registry().close()
