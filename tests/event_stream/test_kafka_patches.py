"""Each patch of kafka-python against its fault. A test that fails at "upstream" says that the patch can go."""

import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import kafka
import pytest
from kafka import TopicPartition
from kafka.errors import NodeNotReadyError, UnknownBrokerIdError
from kafka.net.transport import KafkaTCPTransport

from event_stream import ConfigurationError
from event_stream.binders.kafka import patches
from tests.event_stream.kafka_topics import new_topic
from tests.event_stream.leaks import lets_sockets_leak

BINDER = Path(patches.__file__).parent


@pytest.fixture
def network() -> Iterator[Any]:
    """The part of a client that has its connections. It connects to nothing here."""
    network = kafka.KafkaConsumer.DEFAULT_CONFIG["kafka_client"](
        bootstrap_servers=["127.0.0.1:1"], allow_auto_create_topics=False
    )
    yield network
    network.close()


def test_this_is_the_version_that_the_patches_are_tested_with() -> None:
    assert kafka.__version__ == patches.TESTED_VERSION


def test_an_older_version_is_refused_and_a_newer_one_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ConfigurationError, match=r"needs kafka-python 3\.0\.12 or newer; 3\.0\.9 is installed"):
        patches.check_version("3.0.9")
    with caplog.at_level(logging.WARNING):
        patches.check_version("3.0.12")
        assert caplog.messages == []
        patches.check_version("3.1.0rc1")
    assert caplog.messages == ["kafka.untested_version"]


def test_no_other_module_of_the_binder_reaches_for_private_attributes() -> None:
    found = {
        f"{path.name}: {line.strip()}"
        for path in BINDER.glob("*.py")
        if path.name != "patches.py"
        for line in path.read_text().splitlines()
        if re.search(r"(?<!self)(?<!cls)\._[a-z]", line)
    }
    assert found == set()


def test_auto_creation_of_topics_is_passed_on(network: Any) -> None:
    assert network.cluster.config["allow_auto_create_topics"] is True, "upstream"
    patches.pass_on_auto_create(network, {"allow_auto_create_topics": False})
    assert network.cluster.config["allow_auto_create_topics"] is False


def test_a_missing_broker_is_waited_for(network: Any) -> None:
    with pytest.raises(UnknownBrokerIdError):  # upstream
        network._manager.get_connection(99)
    patches.wait_for_missing_brokers(network)
    with pytest.raises(NodeNotReadyError, match="there is no broker"):
        network._manager.get_connection(99)


@lets_sockets_leak
def test_a_connection_is_watched_once(network: Any) -> None:
    watched: list[Any] = []
    patches.watch_connections(network, lambda *connection: watched.append(connection))
    [broker] = network.cluster.brokers() or network.cluster.bootstrap_brokers()
    connection = network._manager.get_connection(broker.node_id)
    assert network._manager.get_connection(broker.node_id) is connection
    address = None if network.cluster.is_bootstrap(broker.node_id) else f"{broker.host}:{broker.port}"
    assert watched == [(connection, address)]


class Reader:
    """In the place of a connection: what its transport hands on."""

    _sensors = None

    def __init__(self) -> None:
        self.received = b""
        self.lost: list[object] = []

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, error: object) -> None:
        self.lost.append(error)


class Ready:
    """In the place of kafka-python's event loop: a socket can always be read."""

    async def wait_read(self, _socket: Any) -> None:
        return

    def __getattr__(self, _name: str) -> Any:
        return lambda *_arguments, **_options: None


@pytest.mark.parametrize("patched", [False, True], ids=["upstream", "patched"])
def test_what_comes_with_the_end_of_a_connection_is_read(*, patched: bool) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport, reader = KafkaTCPTransport(Ready(), ours), Reader()
    if patched:
        patches.receive_before_end(transport)
    transport.set_protocol(reader)
    transport._read = True
    theirs.sendall(b"why")
    theirs.close()
    with pytest.raises(StopIteration):
        transport._read_from_sock().send(None)
    ours.close()
    assert reader.received == (b"why" if patched else b"")


def test_a_producer_can_not_be_told_to_give_up() -> None:
    assert not hasattr(kafka.KafkaProducer, "force_close"), "upstream"
    assert not hasattr(kafka.KafkaConsumer, "force_close"), "upstream"


@pytest.mark.parametrize("patched", [False, True], ids=["upstream", "patched"])
def test_what_is_sent_together_goes_in_one_request_and_at_once(
    kafka_bootstrap_servers: str, monkeypatch: pytest.MonkeyPatch, *, patched: bool
) -> None:
    # Longer than anybody waits here.
    monkeypatch.setattr(patches, "_GATHER_MS", 60_000)
    topic = new_topic(kafka_bootstrap_servers, partitions=1)
    with closing(kafka.KafkaProducer(bootstrap_servers=kafka_bootstrap_servers)) as producer:
        # In a request of its own, which also makes the topic known.
        producer.send(topic, b"x").get(20)
        with patches.gathered(producer, linger_ms=0) if patched else nullcontext():
            sent = []
            for _ in range(20):
                sent.append(producer.send(topic, b"x"))
                # The thread that sends may run.
                time.sleep(0.002)
        assert [each.get(20).offset for each in sent] == list(range(1, 21))
        of_each_request = producer.metrics()["producer-metrics"]["records-per-request-avg"]
    if patched:
        assert of_each_request == 21 / 2
    else:
        assert of_each_request < 21 / 2, "upstream"


@pytest.mark.parametrize("patched", [False, True], ids=["upstream", "patched"])
def test_a_resumed_partition_is_read_again(kafka_bootstrap_servers: str, *, patched: bool) -> None:
    """Its buffered records were parked, and another partition's used-up records are in hand."""
    topic = new_topic(kafka_bootstrap_servers, partitions=2)
    paused, other = TopicPartition(topic, 0), TopicPartition(topic, 1)
    with (
        closing(kafka.KafkaProducer(bootstrap_servers=kafka_bootstrap_servers)) as producer,
        closing(kafka.KafkaConsumer(bootstrap_servers=kafka_bootstrap_servers)) as consumer,
    ):

        def send(partition: int, count: int) -> None:
            for _ in range(count):
                producer.send(topic, b"x", partition=partition)
            producer.flush()

        def offsets_of(place: TopicPartition, within_s: float) -> list[int]:
            deadline = time.monotonic() + within_s
            while time.monotonic() < deadline:
                if patched:
                    patches.free_used_up_records(consumer)
                if records := consumer.poll(timeout_ms=100, max_records=3).get(place):
                    return [record.offset for record in records]
            return []

        send(0, 10)
        consumer.assign([paused, other])
        consumer.seek_to_beginning(paused, other)
        assert offsets_of(paused, 20) == [0, 1, 2]
        consumer.pause(paused)
        send(1, 1)
        assert offsets_of(other, 20) == [0]
        consumer.seek(paused, 0)
        consumer.resume(paused)
        if patched:
            assert offsets_of(paused, 20) == [0, 1, 2]
        else:
            assert offsets_of(paused, 3) == [], "upstream"
