"""What is RabbitMQ's own: queues that must be there, confirms, brokers that are away, workers that die."""

import json
import logging
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from devstack.rabbitmq import RabbitMQ
from event_stream import ConfigurationError, PublishError, UnavailableError, UnsendableError
from event_stream.binders.rabbitmq.binder import RabbitBinder
from event_stream.conf import Binding, ConsumerSettings, ProducerSettings
from event_stream.consumer.handler import Batch
from event_stream.consumer.worker import StopCondition
from event_stream.dead_letters import dead_letter_binding
from event_stream.messaging.binder import Producer
from event_stream.messaging.message import ProducerRecord, RecordMetadata
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.event_stream.running import running
from tests.faults.link import Link

ROOT = Path(__file__).parents[2]
PARTITIONS = 3
ACK_TIMEOUT_S = 30
SETTINGS = ConsumerSettings(idle_interval_ms=100, retry_initial_ms=10, retry_max_ms=100)

Send = Callable[..., "list[RecordMetadata]"]


@pytest.fixture
def binder(rabbitmq_url: str) -> RabbitBinder:
    return made(rabbitmq_url)


def made(url: str, **properties: object) -> RabbitBinder:
    return RabbitBinder("rabbitmq", {"url": url, "partitions": PARTITIONS, **properties})


@pytest.fixture
def binding() -> Binding:
    return Binding("test", f"test-{uuid4()}", "rabbitmq", group="readers", consumer=SETTINGS)


@pytest.fixture
def declared(binder: RabbitBinder, binding: Binding) -> Binding:
    """Its group has been there."""
    return declare(binder, binding)


def declare(binder: RabbitBinder, binding: Binding) -> Binding:
    with closing(Reader(binder, binding)) as reader:
        reader.read_until(lambda it: it.joined, "joined")
    return binding


@pytest.fixture
def producer_of(binder: RabbitBinder) -> Iterator[Callable[..., Producer]]:
    made: list[Producer] = []

    def producer_of(binding: Binding, at: RabbitBinder | None = None) -> Producer:
        made.append((at or binder).producer(binding))
        return made[-1]

    yield producer_of
    for producer in made:
        producer.close(5)


@pytest.fixture
def send(declared: Binding, producer_of: Callable[..., Producer]) -> Send:
    producer = producer_of(declared)

    def send(*values: str, partition: int | None = None) -> list[RecordMetadata]:
        records = [ProducerRecord(declared.destination, v.encode(), v.encode(), partition=partition) for v in values]
        return [sent.result(ACK_TIMEOUT_S) for sent in [producer.send(record) for record in records]]

    return send


@pytest.fixture
def silent() -> Iterator[str]:
    """A broker that accepts connections and never answers, the worst of being away."""
    with failed_connections(), socket.create_server(("127.0.0.1", 0)) as server:
        yield f"amqp://guest:guest@127.0.0.1:{server.getsockname()[1]}"


# What is not there.


@lets_sockets_leak
def test_a_broker_that_is_away_fails_the_message_and_hangs_nobody(silent: str, binding: Binding) -> None:
    impatient = replace(binding, producer=ProducerSettings(properties={"max_block_ms": 100}))
    producer = made(silent).producer(impatient)
    with pytest.raises(PublishError, match=r"did not take a message of 1 bytes: RabbitMQ at 127.0.0.1:\d+ is away"):
        producer.send(ProducerRecord(binding.destination, None, b"v")).result(0)
    with pytest.raises(UnavailableError, match="is away"):
        made(silent).producer(dead_letter_binding(impatient)).partition_count(binding.destination)
    producer.close(5)


@lets_sockets_leak
def test_a_broker_that_is_away_is_no_error_of_a_consumer(silent: str, binding: Binding) -> None:
    reader = Reader(made(silent, connect_timeout_ms=100), binding)

    def is_told(_: Reader) -> bool:
        try:
            reader.consumer.poll(0.1, 1)
        except UnavailableError as error:
            return "is away" in str(error)
        return False

    reader.read_until(is_told, "told")
    reader.close()
    assert reader.events == []


def test_a_message_that_no_group_has_a_queue_for_is_refused(
    binder: RabbitBinder, binding: Binding, producer_of: Callable[..., Producer]
) -> None:
    producer = producer_of(binding)
    record = ProducerRecord(binding.destination, b"k", b"v")
    error = producer.send(record).exception(ACK_TIMEOUT_S)
    # Not for good: the outbox keeps it.
    assert type(error) is PublishError
    assert "no group has a queue for" in str(error)
    with closing(Reader(binder, declare(binder, binding))) as reader:
        receipt = producer.send(record).result(ACK_TIMEOUT_S)
        assert reader.read(1)[0].offset == receipt.offset


def test_settings_that_differ_are_told_and_not_worked_with(
    rabbitmq_url: str, binder: RabbitBinder, declared: Binding
) -> None:
    other = replace(declared, consumer=replace(SETTINGS, dead_letters=True))
    in_another_way = pytest.raises(
        ConfigurationError, match=r"has a queue '.*readers\.0' that was declared in another way"
    )
    with closing(Reader(binder, other)) as reader, in_another_way:
        reader.read_until(lambda it: it.joined, "joined")


@pytest.mark.parametrize("partitions", [PARTITIONS - 1, PARTITIONS + 1])
def test_another_number_of_partitions_is_told_to_both_sides(
    rabbitmq_url: str, declared: Binding, partitions: int
) -> None:
    """A group with fewer queues than the producer has partitions would miss messages without a word."""
    other = made(rabbitmq_url, partitions=partitions)
    producer = other.producer(declared)
    assert producer.partition_count(declared.destination) == PARTITIONS
    refused = producer.send(ProducerRecord(declared.destination, b"k", b"v", partition=0)).exception(ACK_TIMEOUT_S)
    assert f"was declared with {PARTITIONS}" in str(refused)
    producer.close(5)
    told = pytest.raises(ConfigurationError, match=f"'partitions' is {partitions}, but '{declared.destination}' was")
    with closing(Reader(other, replace(declared, group="later"))) as reader, told:
        reader.read_until(lambda it: it.joined, "joined")


# What is sent.


def test_refuses_for_good_what_no_broker_takes(
    binder: RabbitBinder, declared: Binding, producer_of: Callable[..., Producer]
) -> None:
    producer = producer_of(declared)
    headers = (("h", b"x" * 120_000),)
    for refused in (
        ProducerRecord(declared.destination, b"k", b"v", partition=PARTITIONS),
        ProducerRecord(declared.destination, b"k", b"v", headers),
    ):
        assert isinstance(producer.send(refused).exception(ACK_TIMEOUT_S), UnsendableError)
    assert producer.send(ProducerRecord(declared.destination, b"k", b"v")).result(ACK_TIMEOUT_S)


def test_sends_from_many_threads(binder: RabbitBinder, declared: Binding, producer_of: Callable[..., Producer]) -> None:
    producer = producer_of(declared)
    offsets: list[int] = []

    def send() -> None:
        sent = [producer.send(ProducerRecord(declared.destination, b"k", b"v")) for _ in range(50)]
        offsets.extend(each.result(ACK_TIMEOUT_S).offset for each in sent)

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(Reader(binder, declared)) as reader:
        found: list[int] = []

        def all_read(it: Reader) -> bool:
            it.commit()
            found[:] = [record.offset for record in it.records]
            return len(found) == 400

        reader.read_until(all_read, "all are there")
    assert found == sorted(offsets)
    assert len(set(found)) == 400


def test_what_is_sent_before_closing_arrives(binder: RabbitBinder, declared: Binding) -> None:
    producer = binder.producer(declared)
    sent = [producer.send(ProducerRecord(declared.destination, b"k", b"v")) for _ in range(100)]
    producer.close(ACK_TIMEOUT_S)
    assert len({future.result(0).offset for future in sent}) == 100
    after = producer.send(ProducerRecord(declared.destination, b"k", b"v"))
    assert "closed" in str(after.exception(0))


def test_a_foreign_producers_message_is_read(rabbitmq_url: str, binder: RabbitBinder, declared: Binding) -> None:
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as foreign:
        foreign.channel().basic_publish(
            declared.destination,
            "1",
            b"{}",
            pika.BasicProperties(content_type="application/json", headers={"n": 5}, message_id="a text"),
        )
    with closing(Reader(binder, declared)) as reader:
        [record] = reader.read(1)
    assert (record.partition, record.key, record.value) == (1, None, b"{}")
    assert dict(record.headers) == {"n": b"5", "contentType": b"application/json"}


# Workers.


def test_two_workers_share_what_comes_and_handle_each_message_once(
    binder: RabbitBinder, declared: Binding, send: Send
) -> None:
    first, second = Recorder(), Recorder()
    done = threading.Event()
    values: list[str] = []

    def keep_sending() -> None:
        while not done.is_set():
            values.append(f"m{len(values)}")
            send(values[-1])

    sender = threading.Thread(target=keep_sending)
    small = replace(declared, consumer=replace(SETTINGS, batch_size=3))
    sender.start()
    try:
        with running(binder, small, first):
            wait_until(lambda: len(first.handled) > 20, "the first handles")
            with running(binder, small, second):
                wait_until(lambda: len(second.handled) > 20, "the second handles its share, in the middle of it all")
            handled_alone = len(first.handled)
            wait_until(lambda: len(first.handled) > handled_alone + 20, "the first has all to itself again")
            done.set()
            sender.join()
            wait_until(lambda: len(first.handled) + len(second.handled) >= len(values), "all are handled")
    finally:
        done.set()
        sender.join()
    # Both stopped or were relieved in order, so nothing came twice either.
    assert Counter(first.handled + second.handled) == Counter(value.encode() for value in values)
    for handler in (first, second):
        for partition in range(PARTITIONS):
            offsets = [
                record.offset for batch in handler.batches for record in batch.records if batch.partition == partition
            ]
            assert offsets == sorted(offsets)


def test_what_could_not_be_handled_comes_again_in_its_order(
    binder: RabbitBinder, declared: Binding, send: Send
) -> None:
    outage = Outage()

    def answer(batch: Batch) -> None:
        if batch.partition == 0:
            outage.check()

    handler = Recorder(answer=answer)
    outage.away.set()
    with running(binder, replace(declared, consumer=replace(SETTINGS, batch_size=2)), handler):
        send("0", "1", "2", "3", "4", partition=0)
        wait_until(lambda: sum(batch.partition == 0 for batch in handler.batches) > 2, "it has been tried again")
        send("other", partition=1)
        wait_until(lambda: handler.handled == [b"other"], "the other partition goes on")
        outage.away.clear()
        wait_until(lambda: len(handler.handled) == 6, "all are handled")
    assert handler.handled[1:] == [b"0", b"1", b"2", b"3", b"4"]
    again = Recorder()
    with running(binder, declared, again, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "caught up")
    assert again.handled == []


def test_catches_up_and_ends(binder: RabbitBinder, declared: Binding, send: Send) -> None:
    values = [f"m{number}" for number in range(500)]
    send(*values)
    handler = Recorder()
    # More than may be under way at once.
    few = replace(declared, consumer=replace(SETTINGS, properties={"prefetch": 20}))
    with running(binder, few, handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert sorted(handler.handled) == sorted(value.encode() for value in values)


def test_heartbeats_go_on_while_a_batch_is_handled(
    rabbitmq_url: str, declared: Binding, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    neglected = pika.BlockingConnection(pika.URLParameters(f"{rabbitmq_url}?heartbeat=1"))
    # Once RabbitMQ has given up one that is silent, it would have given up ours.
    wire = neglected._impl._transport._sock
    wire.settimeout(60)

    def answer(_: Batch) -> None:
        with suppress(ConnectionResetError):
            while wire.recv(4096):
                pass

    handler = Recorder(answer=answer)
    lively = made(rabbitmq_url, heartbeat_s=1)
    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), running(lively, declared, handler):
        send("slow", partition=0)
        wait_until(lambda: handler.handled == [b"slow"], "handled", timeout_s=60)
        send("next", partition=0)
        wait_until(lambda: handler.handled == [b"slow", b"next"], "the next one, too")
    wire.close()
    assert "worker.lost" not in caplog.messages


@lets_sockets_leak
def test_a_connection_that_is_cut_is_made_anew(
    rabbitmq_url: str, declared: Binding, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    there = pika.URLParameters(rabbitmq_url)
    handler = Recorder()
    with (
        failed_connections(),
        caplog.at_level(logging.INFO, "event_stream.consumer.worker"),
        Link(f"{there.host}:{there.port}") as link,
    ):
        through = made(rabbitmq_url.replace(f":{there.port}", f":{link.port}"))
        with running(through, declared, handler):
            send("before", partition=0)
            wait_until(lambda: handler.handled == [b"before"], "handled")
            link.cut()
            wait_until(lambda: "worker.unavailable" in caplog.messages, "it has said so")
            send("meanwhile", partition=0)
            link.open()
            wait_until(lambda: b"meanwhile" in handler.handled, "it is there again")
            wait_until(lambda: "worker.available" in caplog.messages, "it has said so")
    # What was acknowledged just before may come twice.
    assert list(dict.fromkeys(handler.handled)) == [b"before", b"meanwhile"]
    assert "worker.lost" in caplog.messages


def test_a_queue_that_is_deleted_is_made_anew(
    rabbitmq_url: str, binder: RabbitBinder, declared: Binding, producer_of: Callable[..., Producer]
) -> None:
    handler = Recorder()
    producer = producer_of(declared)

    def arrives(value: bytes) -> bool:
        sent = producer.send(ProducerRecord(declared.destination, None, value, partition=0))
        return sent.exception(ACK_TIMEOUT_S) is None

    with running(binder, declared, handler):
        wait_until(lambda: len(handler.started) == PARTITIONS, "started")
        with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as operator:
            operator.channel().queue_delete(f"{declared.destination}.readers.0")
        wait_until(lambda: arrives(b"after"), "the queue is there again")
        wait_until(lambda: b"after" in handler.handled, "handled")


# Brokers and workers that die.


def test_what_is_given_out_too_often_becomes_a_dead_letter(binder: RabbitBinder, binding: Binding) -> None:
    consumer = replace(SETTINGS, dead_letters=True, properties={"delivery_limit": 2})
    strict = declare(binder, replace(binding, consumer=consumer))
    producer = binder.producer(strict)
    sent = producer.send(ProducerRecord(strict.destination, b"k", b"deadly", (("h", b"1"),))).result(ACK_TIMEOUT_S)
    producer.close(5)
    for _ in range(3):
        with closing(Reader(binder, strict)) as reader:
            # As one that dies of it: it never says that it is done.
            assert reader.read(1)[0].offset == sent.offset
    journal = dead_letter_binding(strict)
    wait_until(lambda: len(list(binder.read(journal))) == 1, "it lies in the journal")
    [letter] = binder.read(journal)
    assert (letter.offset, letter.key, letter.value, letter.headers) == (sent.offset, b"k", b"deadly", (("h", b"1"),))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_worker_had_begun_when_it_ended_comes_again(
    rabbitmq_url: str, binder: RabbitBinder, number: signal.Signals
) -> None:
    topic = f"test-{uuid4()}"
    binding = declare(binder, Binding("in", topic, "in", group=f"group-of-{topic}"))
    producer = binder.producer(binding)
    entry = json.dumps({"type": "rabbitmq", "url": rabbitmq_url, "partitions": PARTITIONS})
    argv = [sys.executable, "-m", "tests.event_stream.worker_process", topic, entry]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        said = iter(first.stdout.readline, "")
        for value in (b"a", b"hang" if number is signal.SIGKILL else b"b"):
            producer.send(ProducerRecord(topic, b"k", value)).result(ACK_TIMEOUT_S)
            assert f"handled {value.decode()}\n" in said
        first.send_signal(number)
        assert first.wait(30) == (0 if number is signal.SIGTERM else -number)
    with closing(Reader(binder, binding)) as reader:
        producer.send(ProducerRecord(topic, b"k", b"c")).result(ACK_TIMEOUT_S)
        reader.read_until(lambda it: bool(it.records) and it.records[-1].value == b"c", "the next has it")
        left = [record.value for record in reader.records]
    assert left == ([b"hang", b"c"] if number is signal.SIGKILL else [b"c"])
    producer.close(5)


@pytest.fixture(scope="module")
def broker(rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    """One that may be killed, and takes no message of more than 100,000 bytes."""
    node = RabbitMQ(tmp_path_factory.mktemp("fragile") / "node", settings={"max_message_size": "100000"})
    with failed_connections(), node:
        yield node


def test_a_message_that_is_too_large_drags_no_other_down_for_good(broker: RabbitMQ, binding: Binding) -> None:
    binder = made(broker.url)
    declare(binder, binding)
    producer = binder.producer(binding)
    large = ProducerRecord(binding.destination, b"k", b"x" * 100_001)
    small = ProducerRecord(binding.destination, b"k", b"x")
    sent = [producer.send(record) for record in (small, large, small, small)]
    errors = [each.exception(ACK_TIMEOUT_S) for each in sent]
    assert [isinstance(error, UnsendableError) for error in errors] == [False, True, False, False]
    wait_until(lambda: producer.send(small).exception(ACK_TIMEOUT_S) is None, "it has connected again")
    producer.close(5)


@lets_sockets_leak
def test_a_killed_broker_keeps_what_it_has_confirmed(broker: RabbitMQ, binding: Binding) -> None:
    binder = made(broker.url)
    declare(binder, binding)
    producer = binder.producer(binding)
    sent: list[tuple[bytes, Future[RecordMetadata]]] = []

    def send() -> "Future[RecordMetadata]":
        value = str(len(sent)).encode()
        sent.append((value, producer.send(ProducerRecord(binding.destination, b"k", value))))
        return sent[-1][1]

    for _ in range(300):
        send()
    sent[0][1].result(ACK_TIMEOUT_S)
    # RabbitMQ itself forgets a queue that was declared in the half second before it was killed.
    [names] = broker.data_dir.glob("*/quorum/*/names.dets")
    queues = [f"{binding.destination}.readers.{partition}".encode() for partition in range(PARTITIONS)]
    wait_until(lambda: all(queue in names.read_bytes() for queue in queues), "the queues are on its disk")
    for _ in range(300):
        send()
    broker.kill()
    wait_until(lambda: all(future.done() for _, future in sent), "each has ended, one way or the other")
    assert send().exception(ACK_TIMEOUT_S) is not None
    handler = Recorder()
    with running(binder, binding, handler):
        broker.start()
        wait_until(lambda: send().exception(ACK_TIMEOUT_S) is None, "it is there again", timeout_s=60)
        wait_until(lambda: sent[-1][0] in handler.handled, "the last is handled", timeout_s=60)
    confirmed = [value for value, future in sent if future.exception() is None]
    assert confirmed, "none was confirmed: this shows nothing"
    # One that was not confirmed may be there, too; the order holds for all.
    assert set(confirmed) <= set(handler.handled)
    assert [int(value) for value in handler.handled] == sorted(int(value) for value in handler.handled)
    producer.close(5)


@lets_sockets_leak
def test_a_frozen_broker_is_given_up(broker: RabbitMQ, binding: Binding) -> None:
    binder = made(broker.url, connect_timeout_ms=500)
    quick = ProducerSettings(properties={"max_block_ms": 300, "delivery_timeout_ms": 500})
    declare(binder, binding)
    producer = binder.producer(replace(binding, producer=quick))
    record = ProducerRecord(binding.destination, b"k", b"v")
    producer.send(record).result(ACK_TIMEOUT_S)
    with failed_connections():
        broker.pause()
        try:
            with pytest.raises(PublishError, match="no longer confirms"):
                producer.send(record).result(ACK_TIMEOUT_S)
            wait_until(lambda: "is away" in str(producer.send(record).exception(ACK_TIMEOUT_S)), "it says so")
        finally:
            broker.resume()
        wait_until(lambda: producer.send(record).exception(ACK_TIMEOUT_S) is None, "it is there again", timeout_s=60)
        producer.close(5)


@pytest.mark.parametrize(
    ("closes", "opens"),
    [
        pytest.param(
            ["set_vm_memory_high_watermark", "absolute", "1"],
            ["set_vm_memory_high_watermark", "0.6"],
            id="out of memory",
        ),
        pytest.param(
            ["eval", "rabbit_maintenance:drain()."], ["eval", "rabbit_maintenance:revive()."], id="in maintenance"
        ),
    ],
)
def test_a_broker_that_takes_nothing_for_a_while_is_back_on_the_same_producer(
    broker: RabbitMQ, binding: Binding, closes: list[str], opens: list[str]
) -> None:
    binder = made(broker.url)
    declare(binder, binding)
    properties = {"delivery_timeout_ms": 500, "max_block_ms": 500}
    producer = binder.producer(replace(binding, producer=ProducerSettings(properties=properties)))
    record = ProducerRecord(binding.destination, b"k", b"x")
    producer.send(record).result(ACK_TIMEOUT_S)
    with closing(Reader(binder, binding)) as reader:
        reader.read(1)
        broker.control(*closes)
        try:
            wait_until(lambda: producer.send(record).exception(ACK_TIMEOUT_S) is not None, "it is refused")
        finally:
            broker.control(*opens)
        wait_until(lambda: producer.send(record).exception(ACK_TIMEOUT_S) is None, "it is taken again")
        reader.read(2)
    producer.close(1)


def test_wrong_settings_are_named(tmp_path: Path) -> None:
    url = "amqp://guest:secret@localhost"
    for properties, message in (
        ({}, r"\['url'\] is missing"),
        ({"url": "http://guest:secret@localhost"}, r"\['url'\] should begin with amqp:// or amqps://"),
        ({"url": url, "partitions": 0}, r"\['partitions'\] is 0; it should be a whole number above 0"),
        ({"url": url, "partition": 3}, r"\['partition'\] is not known here"),
        ({"url": url, "journal_retention": "long"}, r"\['journal_retention'\] is 'long'"),
        ({"url": url, "ssl_cafile": "ca.pem"}, r"\['ssl_cafile'\] goes with a url that begins with amqps://"),
        ({"url": url.replace("amqp:", "amqps:"), "ssl_cafile": str(tmp_path / "none")}, r"can't be used"),
    ):
        with pytest.raises(ConfigurationError, match=message) as raised:
            RabbitBinder("rabbitmq", properties)
        assert "secret" not in str(raised.value)
    binding = Binding("b", "d", "rabbitmq", group="g", consumer=ConsumerSettings(properties={"prefetch": "many"}))
    with pytest.raises(ConfigurationError, match=r"\['consumer'\]\['properties'\]\['prefetch'\] is 'many'"):
        made(url).check(binding)
    with pytest.raises(ConfigurationError, match=r"\['destination'\] is 'a/b'"):
        made(url).check(replace(binding, destination="a/b"))
