"""What is Kafka's own: brokers that are away, what it refuses, rebalances."""

import itertools
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from kafka.admin import NewPartitions

from event_stream import ConfigurationError, PublishError, UnavailableError, UnsendableError
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.binders.kafka.consumer import KafkaConsumer
from event_stream.binders.kafka.producer import KafkaProducer
from event_stream.conf import Binding, ConsumerSettings, ProducerSettings
from event_stream.messaging.binder import BatchProducer, Producer
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.kafka_topics import admin, new_binding, new_topic
from tests.event_stream.leaks import failed_connections, lets_sockets_leak

ACK_TIMEOUT_S = 20


@pytest.fixture
def binder(kafka_bootstrap_servers: str) -> KafkaBinder:
    return KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers})


@pytest.fixture
def producer_of(binder: KafkaBinder) -> Iterator[Callable[[Binding], Producer]]:
    made: list[Producer] = []

    def producer_of(binding: Binding) -> Producer:
        made.append(binder.producer(binding))
        return made[-1]

    yield producer_of
    for producer in made:
        producer.close(5)


@pytest.fixture
def away() -> Iterator[KafkaBinder]:
    """A binder whose broker accepts connections and never answers, the worst of being away."""
    with failed_connections(), socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        yield KafkaBinder("kafka", {"bootstrap_servers": [f"127.0.0.1:{port}"], "bootstrap_timeout_ms": 1000})


@lets_sockets_leak
def test_a_broker_that_is_away_fails_the_message_and_hangs_nobody(away: KafkaBinder) -> None:
    producer = away.producer(Binding("b", "t", "k", producer=ProducerSettings(properties={"max_block_ms": 100})))
    with pytest.raises(PublishError, match=r"t did not take a message of 1 bytes: no Kafka broker of .* has answered"):
        producer.send(ProducerRecord("t", None, b"v")).result(0)
    with pytest.raises(UnavailableError):
        producer.partition_count("t")
    producer.close(5)


@lets_sockets_leak
def test_of_many_messages_for_a_broker_that_is_away_one_fails_and_the_others_are_not_tried(away: KafkaBinder) -> None:
    producer = away.producer(Binding("b", "t", "k", producer=ProducerSettings(properties={"max_block_ms": 100})))
    assert isinstance(producer, BatchProducer)
    [delivery] = producer.send_all([ProducerRecord("t", None, b"v")] * 3)
    assert isinstance(delivery.exception(0), PublishError)
    producer.close(5)


def test_many_messages_are_in_order_and_a_refused_one_holds_none_up(
    kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]
) -> None:
    binding = new_binding(kafka_bootstrap_servers, 2)
    producer = producer_of(binding)
    assert isinstance(producer, BatchProducer)
    records = [ProducerRecord(binding.destination, str(n % 7).encode(), str(n).encode()) for n in range(200)]
    records[100] = ProducerRecord(binding.destination, b"k", b"x" * 3_000_000)
    deliveries = producer.send_all(records)
    assert isinstance(deliveries.pop(100).exception(0), UnsendableError)  # type: ignore[attr-defined]
    receipts = [delivery.result(ACK_TIMEOUT_S) for delivery in deliveries]
    assert all(delivery.done() and delivery.exception() is None for delivery in deliveries)
    for partition in range(2):
        offsets = [receipt.offset for receipt in receipts if receipt.partition == partition]
        assert offsets == list(range(len(offsets)))


@lets_sockets_leak
def test_a_broker_that_is_away_is_no_error_of_a_consumer(away: KafkaBinder) -> None:
    reader = Reader(away, Binding("b", "t", "k", group="g"))
    with pytest.raises(UnavailableError, match=r"no Kafka broker of .* has answered yet"):
        reader.consumer.poll(0.1, 1)
    reader.close()
    assert reader.events == []


def test_refuses_for_good_what_no_broker_takes(
    kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]
) -> None:
    binding = new_binding(kafka_bootstrap_servers, 2)
    producer = producer_of(binding)
    too_large = ProducerRecord(binding.destination, b"k", b"x" * 3_000_000)
    for refused in (too_large, ProducerRecord(binding.destination, b"k", b"v", partition=2)):
        assert isinstance(producer.send(refused).exception(ACK_TIMEOUT_S), UnsendableError)
    assert producer.send(ProducerRecord(binding.destination, b"k", b"v")).result(ACK_TIMEOUT_S).offset == 0


def test_refuses_what_the_topic_is_too_small_for(
    kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 1, {"max.message.bytes": "1000"})
    producer = producer_of(Binding("b", topic, "k"))
    assert isinstance(producer.send(ProducerRecord(topic, b"k", b"x" * 2000)).exception(ACK_TIMEOUT_S), UnsendableError)
    assert producer.send(ProducerRecord(topic, b"k", b"x")).result(ACK_TIMEOUT_S).offset == 0


def test_a_refused_message_does_not_drag_others_down(
    kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]
) -> None:
    topic = new_topic(kafka_bootstrap_servers, 2, {"max.message.bytes": "1000"})
    # A batch for each message, so that many are under way when the broker refuses one.
    settings = ProducerSettings(properties={"batch_size": 0})
    producer = producer_of(Binding("b", topic, "k", producer=settings))
    assert producer.partition_count(topic) == 2
    sent = [producer.send(ProducerRecord(topic, None, b"x" * 2000, partition=0))]
    sent += [producer.send(ProducerRecord(topic, None, b"x", partition=number % 2)) for number in range(200)]
    errors = [each.exception(ACK_TIMEOUT_S) for each in sent]
    assert [isinstance(error, UnsendableError) for error in errors] == [True] + [False] * 200
    assert any(errors[1:]), "none was under way: this shows nothing"
    assert all(error is None or isinstance(error, PublishError) for error in errors)
    assert producer.send(ProducerRecord(topic, None, b"x", partition=0)).result(ACK_TIMEOUT_S).partition == 0


def test_makes_no_topic_by_asking_for_it(
    kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]
) -> None:
    properties = {"max_block_ms": 300}
    producer = producer_of(Binding("b", "not-there", "k", producer=ProducerSettings(properties=properties)))
    error = producer.send(ProducerRecord("not-there", b"k", b"v")).exception(ACK_TIMEOUT_S)
    assert isinstance(error, PublishError)
    assert not isinstance(error, UnsendableError)
    with admin(kafka_bootstrap_servers) as client:
        assert "not-there" not in client.list_topics()


def test_sends_from_many_threads(kafka_bootstrap_servers: str, producer_of: Callable[[Binding], Producer]) -> None:
    binding = new_binding(kafka_bootstrap_servers, 1)
    producer = producer_of(binding)
    offsets: list[int] = []

    def send() -> None:
        sent = [producer.send(ProducerRecord(binding.destination, b"k", b"v")) for _ in range(50)]
        offsets.extend(each.result(ACK_TIMEOUT_S).offset for each in sent)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(offsets) == list(range(400))


def test_reads_a_tombstone(kafka_bootstrap_servers: str, binder: KafkaBinder) -> None:
    import kafka  # noqa: PLC0415 - our own producer sends none

    binding = new_binding(kafka_bootstrap_servers, 1)
    foreign = kafka.KafkaProducer(bootstrap_servers=kafka_bootstrap_servers.split(","))
    foreign.send(binding.destination, key=b"k", value=None).get(ACK_TIMEOUT_S)
    foreign.close()
    reader = Reader(binder, binding)
    [record] = reader.read(1)
    assert (record.key, record.value, record.headers) == (b"k", None, ())
    reader.close()


def test_a_member_survives_new_partitions_even_if_the_rebalance_is_slow(
    kafka_bootstrap_servers: str, binder: KafkaBinder, producer_of: Callable[[Binding], Producer]
) -> None:
    often = ConsumerSettings(properties={"metadata_max_age_ms": 200})
    binding = new_binding(kafka_bootstrap_servers, 2, often)
    first, second = Reader(binder, binding), Reader(binder, binding)

    def both(count: int) -> Callable[[Reader], bool]:
        def condition(_: Reader) -> bool:
            second.turn()
            return len(first.owned) + len(second.owned) == count and bool(first.owned) and bool(second.owned)

        return condition

    first.read_until(both(2), "both have one")
    with admin(kafka_bootstrap_servers) as client:
        client.create_partitions({binding.destination: NewPartitions(4)})
    # One of them leads the group: it hears of it first and waits for the other, here for longer than its polls last.
    turns = itertools.cycle((first, second))
    wait_until(lambda: bool(next(turns).turn()) or "revoked" in {first.events[-1][0], second.events[-1][0]}, "noticed")
    for reader in (first, second):
        for _ in range(5):
            reader.turn()
    first.read_until(both(4), "both have two")
    first.close()
    second.close()


def test_a_static_member_keeps_its_place(kafka_bootstrap_servers: str, binder: KafkaBinder) -> None:
    static = ConsumerSettings(properties={"group_instance_id": "worker-1"})
    binding = new_binding(kafka_bootstrap_servers, 2, static)
    first = Reader(binder, binding)
    first.read_until(lambda it: len(it.owned) == 2, "assigned")
    first.close()
    again = Reader(binder, binding)
    again.read_until(lambda it: len(it.owned) == 2, "assigned again")
    again.close()


def test_settings_of_kafka_python_reach_it(kafka_bootstrap_servers: str) -> None:
    with pytest.raises(ConfigurationError, match=r"\['linger_ms'\] is not a setting of kafka-python that belongs here"):
        KafkaBinder("k", {"bootstrap_servers": kafka_bootstrap_servers, "linger_ms": 5})
    with pytest.raises(ConfigurationError, match=r"\['security_protocol'\] is 'TLS'; it should be one of 'PLAINTEXT'"):
        KafkaBinder("k", {"bootstrap_servers": kafka_bootstrap_servers, "security_protocol": "TLS"})
    binder = KafkaBinder("k", {"bootstrap_servers": kafka_bootstrap_servers})
    wrong = Binding("b", "t", "k", producer=ProducerSettings(properties={"compression_type": "zip"}))
    with pytest.raises(ConfigurationError, match="kafka-python refuses its settings"):
        binder.producer(wrong).partition_count("t")


def test_a_leader_that_is_no_longer_among_the_brokers_is_waited_for(
    kafka_bootstrap_servers: str, binder: KafkaBinder, producer_of: Callable[[Binding], Producer]
) -> None:
    """Between two answers about the cluster: one named it as the leader, the next no longer has it among the living."""
    binding = new_binding(kafka_bootstrap_servers, 1)
    reader, producer = Reader(binder, binding), producer_of(binding)

    def send(value: bytes) -> None:
        assert producer.send(ProducerRecord(binding.destination, b"k", value)).result(ACK_TIMEOUT_S)

    send(b"before")
    assert [record.value for record in reader.read(1)] == [b"before"]
    consumer_client: Any = cast("KafkaConsumer", reader.consumer)._client
    producer_client: Any = cast("KafkaProducer", producer)._connection.connected()
    for manager in (consumer_client._manager, producer_client._sender._client._manager):
        forgotten = manager.call_soon(_forget_the_leader, manager)
        reader.read_until(lambda _, done=forgotten: done.is_done, "the leader is forgotten")  # type: ignore[misc]
    send(b"after")
    assert [record.value for record in reader.read(2)] == [b"before", b"after"]
    reader.close()


async def _forget_the_leader(manager: Any) -> None:
    """The broker that still lives, and can be asked about the others, has another number here."""
    [living] = manager.cluster._brokers.values()
    living.node_id = 99
    manager.cluster._brokers = {99: living}
    for connection in list(manager._conns.values()):
        connection.close()
