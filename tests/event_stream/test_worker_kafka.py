"""The worker on a real Kafka: rebalances, handing over, crashes, logs that are not what they were."""

import logging
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import pytest
from kafka.admin import NewTopic
from kafka.structs import TopicPartition

from event_stream import RecordMetadata
from event_stream.binders.kafka.binder import KafkaBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.handler import Batch
from event_stream.consumer.worker import StopCondition
from event_stream.messaging.binder import Producer
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.kafka_topics import admin, new_binding
from tests.event_stream.leaks import failed_connections, lets_sockets_leak
from tests.event_stream.running import running
from tests.faults.link import Link

ROOT = Path(__file__).parents[2]
SETTINGS = ConsumerSettings(idle_interval_ms=100, retry_initial_ms=10, retry_max_ms=100)


@pytest.fixture
def binder(kafka_bootstrap_servers: str) -> KafkaBinder:
    return KafkaBinder("kafka", {"bootstrap_servers": kafka_bootstrap_servers})


@pytest.fixture
def binding(kafka_bootstrap_servers: str) -> Binding:
    return new_binding(kafka_bootstrap_servers, 4, SETTINGS)


Send = Callable[..., "list[Future[RecordMetadata]]"]


@pytest.fixture
def send(binder: KafkaBinder, binding: Binding) -> Iterator[Send]:
    producer: Producer = binder.producer(binding)

    def send(*values: str, partition: int | None = None) -> "list[Future[RecordMetadata]]":
        records = [ProducerRecord(binding.destination, v.encode(), v.encode(), partition=partition) for v in values]
        sent = [producer.send(record) for record in records]
        for each in sent:
            each.result(20)
        return sent

    yield send
    producer.close(5)


def committed(binder: KafkaBinder, binding: Binding) -> dict[int, int]:
    reader = Reader(binder, binding)
    reader.read_until(lambda it: len(it.owned) == 4, "assigned")
    offsets = {partition: reader.consumer.committed(partition) for partition in range(4)}
    reader.close()
    return {partition: offset for partition, offset in offsets.items() if offset is not None}


def test_two_workers_share_what_comes_and_handle_each_message_once(
    binder: KafkaBinder, binding: Binding, send: Send
) -> None:
    first, second = Recorder(), Recorder()
    done = threading.Event()
    values: list[str] = []

    def keep_sending() -> None:
        while not done.is_set():
            values.append(f"m{len(values)}")
            send(values[-1])

    sender = threading.Thread(target=keep_sending)
    small = replace(binding, consumer=replace(SETTINGS, batch_size=3))
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
        for partition in range(4):
            offsets = [
                record.offset for batch in handler.batches for record in batch.records if batch.partition == partition
            ]
            assert offsets == sorted(offsets)


def test_a_batch_is_not_taken_away_in_the_middle(binder: KafkaBinder, binding: Binding, send: Send) -> None:
    began, release = threading.Event(), threading.Event()

    def answer(_: Batch) -> None:
        began.set()
        assert release.wait(30)

    slow, other = Recorder(answer=answer), Recorder()
    sent = send("slow", partition=0)[0].result()
    with running(binder, binding, slow):
        assert began.wait(30)
        with running(binder, binding, other) as second:
            # It has asked to join, and waits for the one that handles.
            wait_until(lambda: members(binder, binding) == 2, "the group knows of both")
            assert other.started == []
            release.set()
            wait_until(lambda: second.worker.ready and bool(other.started), "they share")
    assert slow.handled == [b"slow"]
    assert other.handled == []
    assert committed(binder, binding) == {0: sent.offset + 1}


def members(binder: KafkaBinder, binding: Binding) -> int:
    servers = ",".join(binder._properties["bootstrap_servers"])
    with admin(servers) as client:
        described = client.describe_groups([binding.group])
    return len(described[binding.group]["members"])


def test_an_outage_of_the_handler_outlives_a_rebalance(binder: KafkaBinder, binding: Binding, send: Send) -> None:
    outage = Outage()
    outage.away.set()

    def answer(_: Batch) -> None:
        outage.check()

    first, second = Recorder(answer=answer), Recorder(answer=answer)
    values = [f"m{number}" for number in range(20)]
    send(*values)
    with running(binder, binding, first):
        wait_until(lambda: len({batch.partition for batch in first.batches}) == 4, "each partition has been tried")
        with running(binder, binding, second):
            wait_until(lambda: bool(second.batches), "the other one tries its share")
            outage.away.clear()
            wait_until(lambda: len(first.handled) + len(second.handled) == 20, "all are handled")
    assert sorted(first.handled + second.handled) == sorted(value.encode() for value in values)


def test_starts_over_where_the_log_was_cut_off(
    kafka_bootstrap_servers: str, binder: KafkaBinder, binding: Binding, send: Send
) -> None:
    send(*map(str, range(10)), partition=0)
    outage = Outage()

    def answer(batch: Batch) -> None:
        if batch.records[0].offset >= 3:
            outage.check()

    handler = Recorder(answer=answer)
    outage.away.set()
    with running(binder, replace(binding, consumer=replace(SETTINGS, batch_size=3)), handler):
        wait_until(lambda: len(handler.batches) > 2, "it is held up at offset 3")
        with admin(kafka_bootstrap_servers) as client:
            client.delete_records({TopicPartition(binding.destination, 0): 6})
        outage.away.clear()
        wait_until(lambda: b"9" in handler.handled, "the rest is handled")
    starts = [log.start for partition, log, _ in handler.started if partition == 0]
    # Either the first three came out of the client's buffer, or it was told that they are gone.
    assert handler.handled in ([b"0", b"1", b"2", b"6", b"7", b"8", b"9"], [str(n).encode() for n in range(10)])
    assert starts == ([0, 6] if len(handler.handled) == 7 else [0])


def test_goes_on_with_a_topic_made_anew(
    kafka_bootstrap_servers: str, binder: KafkaBinder, binding: Binding, send: Send
) -> None:
    send("old 0", "old 1", "old 2", partition=0)
    handler = Recorder()
    settings = replace(SETTINGS, properties={"metadata_max_age_ms": 200})
    with running(binder, replace(binding, consumer=settings), handler):
        wait_until(lambda: len(handler.handled) == 3, "the old ones are handled")
        with admin(kafka_bootstrap_servers) as client:
            client.delete_topics([binding.destination])
            wait_until(lambda: binding.destination not in client.list_topics(), "the topic is gone")
            client.create_topics([NewTopic(binding.destination, 4, 1)])
        fresh = binder.producer(binding)
        fresh.send(ProducerRecord(binding.destination, None, b"new", partition=0)).result(20)
        fresh.close(5)
        wait_until(lambda: handler.handled[3:] == [b"new"], "the new one is handled")
    new = handler.batches[-1]
    assert (new.previous_offset, new.records[0].offset) == (-1, 0)


@lets_sockets_leak
def test_waits_for_a_broker_and_says_so_once(
    kafka_bootstrap_servers: str, binding: Binding, send: Send, caplog: pytest.LogCaptureFixture
) -> None:
    send("a")
    link = Link(kafka_bootstrap_servers.split(",", maxsplit=1)[0])
    away = KafkaBinder("kafka", {"bootstrap_servers": [link.address], "bootstrap_timeout_ms": 300})
    handler = Recorder()
    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), failed_connections():
        with running(away, binding, handler):
            wait_until(lambda: "worker.unavailable" in caplog.messages, "it has said so")
        with running(away, binding, handler):
            wait_until(lambda: caplog.messages.count("worker.unavailable") == 2, "the next one too")
            link.open()
            wait_until(lambda: handler.handled == [b"a"], "it handles when the broker is there")
    link.close()
    # Of the worker alone: what another test has left behind may log as well.
    events = [message for message in caplog.messages if message.startswith("worker.") and message != "worker.batch"]
    assert events == [
        "worker.unavailable",
        "worker.stopped",
        "worker.unavailable",
        "worker.available",
        "worker.ready",
        "worker.stopped",
    ]


@pytest.mark.parametrize("until", [StopCondition.ONCE, StopCondition.CAUGHT_UP])
def test_catches_up_and_ends(binder: KafkaBinder, binding: Binding, send: Send, until: StopCondition) -> None:
    values = [f"m{number}" for number in range(50)]
    send(*values)
    handler = Recorder()
    with running(binder, binding, handler, until) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert sorted(handler.handled) == sorted(value.encode() for value in values)
    again = Recorder()
    with running(binder, binding, again, until) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert again.handled == []


def test_catches_up_past_the_marks_of_a_transaction(
    kafka_bootstrap_servers: str, binder: KafkaBinder, binding: Binding
) -> None:
    import kafka  # noqa: PLC0415 - our own producer has no transactions

    foreign = kafka.KafkaProducer(
        bootstrap_servers=kafka_bootstrap_servers.split(","), transactional_id=binding.destination
    )
    foreign.init_transactions()
    for value in (b"one", b"two"):
        foreign.begin_transaction()
        foreign.send(binding.destination, value=value, partition=0).get(20)
        foreign.commit_transaction()
    foreign.close()
    handler = Recorder()
    with running(binder, binding, handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "ended, though the log ends with a mark")
    assert handler.handled == [b"one", b"two"]
    # The offset between them is the first transaction's mark, which no batch begins or ends with.
    assert [record.offset for batch in handler.batches for record in batch.records] == [0, 2]


class Process:
    """worker_process.py, and the lines it has written."""

    def __init__(self, topic: str) -> None:
        argv = [sys.executable, "-m", "tests.event_stream.worker_process", topic]
        self._popen = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, line: str) -> None:
        """Raises queue.Empty where it has not come in time."""
        while line not in self.seen:
            self.seen.append(self._lines.get(timeout=60))

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self) -> tuple[int, str]:
        """Its exit code and what it had to complain of."""
        assert self._popen.stderr is not None
        errors = self._popen.stderr.read()
        return self._popen.wait(30), errors

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()
        for stream in (self._popen.stdout, self._popen.stderr):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._popen.stdout is not None
        for line in self._popen.stdout:
            self._lines.put(line.strip())


@pytest.fixture
def start(binding: Binding) -> Iterator[Callable[[], Process]]:
    started: list[Process] = []

    def start() -> Process:
        started.append(Process(binding.destination))
        return started[-1]

    yield start
    for process in started:
        process.end()


def test_sigterm_hands_over_what_is_left_and_no_more(
    binder: KafkaBinder, binding: Binding, send: Send, start: Callable[[], Process]
) -> None:
    first = start()
    first.wait_for("ready")
    send("a", "b", partition=0)
    first.wait_for("handled b")
    first.signal(signal.SIGTERM)
    assert first.wait() == (0, "")
    send("c", partition=0)
    second = start()
    second.wait_for("handled c")
    assert second.seen == ["ready", "handled c"]
    second.signal(signal.SIGTERM)
    assert second.wait() == (0, "")
    assert committed(binder, binding) == {0: 3}


def test_what_a_killed_worker_had_begun_comes_again(send: Send, start: Callable[[], Process]) -> None:
    first = start()
    send("hang", partition=1)
    first.wait_for("handled hang")
    first.signal(signal.SIGKILL)
    second = start()
    second.wait_for("handled hang")


def test_a_fatal_error_ends_the_process_with_a_code(
    binder: KafkaBinder, binding: Binding, send: Send, start: Callable[[], Process]
) -> None:
    process = start()
    send("good", "fail", "next", partition=2)
    process.wait_for("handled good")
    code, errors = process.wait()
    assert code == 1
    assert "ZeroDivisionError: told to fail" in errors
    assert committed(binder, binding) == {2: 1}
