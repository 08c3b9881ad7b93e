"""The signals of the worker, on the memory binder. Those of the relay and of lookups are tested beside them."""

from collections.abc import Iterator
from typing import Any

import pytest

from event_stream import Handled, Sink, signals
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.errors import RejectedError
from event_stream.messaging.message import Message, ProducerRecord
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.received_signals import received
from tests.event_stream.running import running

SETTINGS = ConsumerSettings(poll_timeout_ms=20, idle_interval_ms=10, retry_initial_ms=1, retry_max_ms=20)
BINDING = Binding("in", "things", "memory", group="readers", consumer=SETTINGS)


@pytest.fixture
def binder() -> MemoryBinder:
    return MemoryBinder("memory", {"partitions": 1})


@pytest.fixture
def failing_receiver() -> Iterator[None]:
    def receiver(**_: Any) -> None:
        raise ValueError("a receiver that is wrong")

    signals.batch_handled.connect(receiver)
    yield
    signals.batch_handled.disconnect(receiver)


def test_a_batch_is_told_once_its_offsets_are_committed(binder: MemoryBinder) -> None:
    binder.append(ProducerRecord("things", None, b"a"))
    handler = Recorder()
    with received(signals.batch_handled) as batches, received(signals.worker_stopped) as stops:
        with running(binder, BINDING, handler) as process:
            wait_until(lambda: bool(batches), "the batch is told")
            [told] = batches
        assert (told["worker"], told["outcome"]) == (process.worker, Handled())
        assert [record.value for record in told["batch"].records] == [b"a"]
        assert told["received_at_ms"] > 0
        assert told["seconds"] >= 0
        assert [stop["worker"] for stop in stops] == [process.worker]


def test_a_worker_tells_of_each_round_with_what_it_has(binder: MemoryBinder) -> None:
    with received(signals.worker_polled) as rounds, running(binder, BINDING, Recorder()) as process:
        wait_until(lambda: process.worker.ready and len(rounds) > 2, "some rounds are over")
        assert rounds[-1]["worker"].binding == BINDING
        assert list(rounds[-1]["worker"].partitions) == [0]


def test_an_outage_of_the_handlers_server_is_told_at_its_beginning_and_end(binder: MemoryBinder) -> None:
    server = Outage()
    server.away.set()

    def answer(_batch: object) -> None:
        server.check()

    with received(signals.partition_paused) as pauses, received(signals.partition_resumed) as resumptions:
        binder.append(ProducerRecord("things", None, b"a"))
        with running(binder, BINDING, Recorder(answer=answer)):
            wait_until(lambda: bool(pauses), "the partition is paused")
            server.away.clear()
            wait_until(lambda: bool(resumptions), "it goes on")
    assert (pauses[0]["partition"], str(pauses[0]["error"])) == (0, "the server is away")
    assert resumptions[0]["partition"] == 0


def test_a_rejected_record_is_told(binder: MemoryBinder) -> None:
    def reject(_message: Message[Any]) -> None:
        raise RejectedError("no such thing")

    binder.append(ProducerRecord("things", None, b"{}"))
    with received(signals.record_rejected) as rejections, running(binder, BINDING, Sink(BINDING, reject)):
        wait_until(lambda: bool(rejections), "it is told")
    assert (rejections[0]["record"].value, str(rejections[0]["error"])) == (b"{}", "no such thing")


@pytest.mark.usefixtures("failing_receiver")
def test_a_receiver_that_fails_stops_nothing(binder: MemoryBinder, caplog: pytest.LogCaptureFixture) -> None:
    handler = Recorder()
    with running(binder, BINDING, handler):
        binder.append(ProducerRecord("things", None, b"a"))
        wait_until(lambda: "a receiver that is wrong" in caplog.text, "it has failed")
        binder.append(ProducerRecord("things", None, b"b"))
        wait_until(lambda: handler.handled == [b"a", b"b"], "the worker goes on")


def test_a_poll_that_brought_records_is_told_before_they_are_handled(binder: MemoryBinder) -> None:
    binder.append(ProducerRecord("things", None, b"a"))
    order: list[str] = []
    with (
        received(signals.records_received) as polls,
        received(signals.batch_begun) as begun,
        received(signals.batch_ended) as ended,
    ):
        handler = Recorder(answer=lambda _batch: order.append(f"{len(polls)} {len(begun)} {len(ended)}"))
        with running(binder, BINDING, handler):
            wait_until(lambda: bool(ended), "the batch has ended")
    assert order == ["1 1 0"]
    assert [record.value for record in polls[0]["records"][0]] == [b"a"]
    assert ended[0]["error"] is None
