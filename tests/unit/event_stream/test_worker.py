"""The worker's loop, on the memory binder."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from event_stream import Handled, Message, SeekTo, Sink, UnavailableError, encode, user_context
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.handler import Batch
from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.consumer.worker import PartitionState, StopCondition
from event_stream.errors import RejectedError
from event_stream.messaging.binder import OffsetRange
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.running import Running, running

SETTINGS = ConsumerSettings(poll_timeout_ms=20, idle_interval_ms=10, retry_initial_ms=1, retry_max_ms=20)
BINDING = Binding("in", "things", "memory", group="readers", consumer=SETTINGS)


@pytest.fixture
def binder() -> MemoryBinder:
    return MemoryBinder("memory", {"partitions": 3})


@pytest.fixture
def send(binder: MemoryBinder) -> Callable[..., None]:
    def send(*values: str, partition: int = 0) -> None:
        for value in values:
            binder.append(ProducerRecord("things", None, value.encode(), partition=partition))

    return send


def committed(binder: MemoryBinder) -> dict[int, int]:
    reader = Reader(binder, BINDING)
    reader.read_until(lambda it: len(it.owned) == 3, "assigned")
    offsets = {partition: reader.consumer.committed(partition) for partition in range(3)}
    reader.close()
    return {partition: offset for partition, offset in offsets.items() if offset is not None}


def test_hands_on_each_partition_in_order_with_its_predecessor(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send("a", "b", "c")
    send("x", partition=2)
    handler = Recorder()
    with running(binder, replace(BINDING, consumer=replace(SETTINGS, batch_size=2)), handler):
        wait_until(lambda: len(handler.handled) == 4, "all are handled")
        send("d")
        wait_until(lambda: len(handler.handled) == 5, "the next is handled")
    first = [batch for batch in handler.batches if batch.partition == 0]
    assert [(batch.previous_offset, [record.offset for record in batch.records]) for batch in first] == [
        (-1, [0, 1]),
        (1, [2]),
        (2, [3]),
    ]
    assert committed(binder) == {0: 4, 2: 1}
    assert sorted(handler.stopped) == [0, 1, 2]


def test_starts_where_the_handler_says_else_at_the_commit_else_at_the_beginning(
    binder: MemoryBinder, send: Callable[..., None]
) -> None:
    for partition in range(3):
        send("0", "1", "2", partition=partition)
    reader = Reader(binder, BINDING)
    reader.read(9)
    reader.consumer.commit({0: 1, 1: 2})
    reader.close()
    handler = Recorder(start_at=lambda partition, _: 0 if partition == 1 else None)
    with running(binder, BINDING, handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "caught up")
    assert sorted(handler.started, key=lambda each: each[0]) == [
        (0, OffsetRange(0, 3), 1),
        (1, OffsetRange(0, 3), 2),
        (2, OffsetRange(0, 3), None),
    ]
    assert {batch.partition: batch.previous_offset for batch in handler.batches} == {0: 0, 1: -1, 2: -1}


def test_a_start_outside_of_the_log_is_put_at_its_beginning(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send("a")
    handler = Recorder(start_at=lambda _, log: log.end + 5)
    with running(binder, BINDING, handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "caught up")
    assert handler.handled == [b"a"]


def test_rewinds(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send("a", "b", "c")
    answers: Iterator[SeekTo | Handled] = iter([SeekTo(1), Handled()])
    handler = Recorder(answer=lambda _: next(answers))
    with running(binder, BINDING, handler):
        wait_until(lambda: len(handler.batches) == 2, "handled again")
    assert (handler.batches[1].previous_offset, handler.handled) == (0, [b"b", b"c"])
    assert committed(binder) == {0: 3}


def test_a_server_that_is_away_pauses_its_partition_and_no_other(
    binder: MemoryBinder, send: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    outage = Outage()

    def answer(batch: Batch) -> None:
        if batch.partition == 0:
            outage.check()

    handler = Recorder(answer=answer)
    outage.away.set()
    send("held")
    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), running(binder, BINDING, handler):
        wait_until(lambda: len(handler.batches) >= 3, "tried again")
        send("going on", partition=1)
        wait_until(lambda: handler.handled == [b"going on"], "the other partition goes on")
        assert committed_now(binder) == {1: 1}
        outage.away.clear()
        wait_until(lambda: len(handler.handled) == 2, "the held one is handled")
    assert {batch.previous_offset for batch in handler.batches if batch.partition == 0} == {-1}
    assert [record.message for record in caplog.records].count("worker.paused") == 1
    assert [record.message for record in caplog.records].count("worker.resumed") == 1
    assert committed(binder) == {0: 1, 1: 1}


def test_a_paused_partition_waits_and_the_others_go_on(
    binder: MemoryBinder, send: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Recorder()
    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), running(binder, BINDING, handler) as it:
        wait_until(lambda: it.worker.ready, "ready")
        it.worker.pause(Pauses(partitions=frozenset({0})))
        wait_until(lambda: state(it) == {0: "paused", 1: "reading", 2: "reading"}, "paused")
        send("held", "held too")
        send("going on", partition=1)
        wait_until(lambda: handler.handled == [b"going on"], "the other partition goes on")
        wait_until(lambda: it.worker.partitions[0].lag == 2, "what waits is counted")
        assert it.worker.ready
        assert 0 in {partition for partition, _, _ in handler.idled}, "its handler is still told"
        it.worker.pause(NO_PAUSES)
        wait_until(lambda: handler.handled[1:] == [b"held", b"held too"], "handled in order")
        wait_until(lambda: it.worker.partitions[0].lag == 0, "nothing waits")
    assert committed(binder) == {0: 2, 1: 1}
    lines = [(record.message, getattr(record, "partitions", None)) for record in caplog.records]
    assert lines.count(("worker.paused_on_purpose", [0])) == lines.count(("worker.resumed_on_purpose", [0])) == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING], "a pause is no alarm"


def test_a_paused_binding_is_not_read_from_the_start_of_a_worker_on(
    binder: MemoryBinder, send: Callable[..., None]
) -> None:
    send("a")
    handler = Recorder()
    worker = Running(binder, BINDING, handler, pauses=Pauses(whole=True))
    try:
        wait_until(lambda: worker.worker.ready and set(state(worker).values()) == {"paused"}, "paused")
        wait_until(lambda: len({partition for partition, _, _ in handler.idled}) == 3, "some rounds went by")
        assert handler.handled == []
        worker.worker.pause(NO_PAUSES)
        wait_until(lambda: handler.handled == [b"a"], "handled")
    finally:
        worker.stop()


def test_a_paused_partition_stays_paused_when_its_server_is_back(
    binder: MemoryBinder, send: Callable[..., None]
) -> None:
    """The end of an outage resumes a partition too: not one that a person has paused."""
    outage = Outage()
    outage.away.set()
    handler = Recorder(answer=lambda _: outage.check())
    send("held")
    with running(binder, BINDING, handler) as it:
        wait_until(lambda: state(it).get(0) == PartitionState.RETRYING, "an outage")
        assert it.worker.partitions[0].error == "the server is away"
        it.worker.pause(Pauses(partitions=frozenset({0})))
        wait_until(lambda: state(it)[0] == "paused", "paused")
        outage.away.clear()
        idled = len(handler.idled)
        wait_until(lambda: [p for p, _, _ in handler.idled[idled:]].count(0) > 3, "longer than the longest retry")
        assert handler.handled == []
        it.worker.pause(NO_PAUSES)
        wait_until(lambda: handler.handled == [b"held"], "handled")
        wait_until(lambda: it.worker.partitions[0].error == "", "the error is over")


def test_a_pause_holds_for_partitions_that_come_later(binder: MemoryBinder, send: Callable[..., None]) -> None:
    first, second = Recorder(), Recorder()
    with running(binder, BINDING, first) as it:
        wait_until(lambda: len(first.started) == 3, "it has all")
        it.worker.pause(Pauses(whole=True))
        with running(binder, BINDING, second):
            wait_until(lambda: bool(second.started), "some moved to the other")
        wait_until(lambda: len(it.worker.partitions) == 3, "it has all again")
        wait_until(lambda: set(state(it).values()) == {"paused"}, "all are paused")
        send("a", partition=0)
        send("b", partition=1)
        send("c", partition=2)
        wait_until(lambda: all(p.lag == 1 for p in dict(it.worker.partitions).values()), "they wait")
        assert first.handled == []


def state(running_worker: Running) -> dict[int, str]:
    return {number: partition.state for number, partition in dict(running_worker.worker.partitions).items()}


def committed_now(binder: MemoryBinder) -> dict[int, int]:
    """While a worker has the partitions: a consumer's `committed` may be asked by anybody."""
    consumer = binder.consumer(BINDING, Reader(binder, BINDING))
    offsets = {partition: consumer.committed(partition) for partition in range(3)}
    return {partition: offset for partition, offset in offsets.items() if offset is not None}


def test_a_start_that_needs_a_server_is_tried_again(binder: MemoryBinder, send: Callable[..., None]) -> None:
    outage = Outage()
    outage.away.set()

    def start_at(_partition: int, _log: OffsetRange) -> None:
        outage.check()

    handler = Recorder(start_at=start_at)
    send("a")
    with running(binder, BINDING, handler) as running_worker:
        wait_until(lambda: len(handler.started) > 6, "tried again")
        assert not running_worker.worker.ready
        assert handler.batches == []
        outage.away.clear()
        wait_until(lambda: handler.handled == [b"a"], "handled")
        wait_until(lambda: running_worker.worker.ready, "the partitions without a record have started too")


def test_an_idle_partition_can_be_sent_back(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send("a", "b")
    sent_back: list[int] = []

    def on_idle(partition: int, position: int, log: OffsetRange) -> int | None:
        assert log == OffsetRange(0, 2 if partition == 0 else 0)
        if partition == 0 and position == 2 and not sent_back:
            sent_back.append(partition)
            return 1
        return None

    handler = Recorder(on_idle=on_idle)
    with running(binder, BINDING, handler):
        wait_until(lambda: len(handler.handled) == 3, "the last one is handled again")
    assert handler.handled == [b"a", b"b", b"b"]
    assert {partition for partition, _, _ in handler.idled} == {0, 1, 2}


def test_an_idle_server_that_is_away_does_not_end_it(binder: MemoryBinder, send: Callable[..., None]) -> None:
    outage = Outage()

    def on_idle(_partition: int, _position: int, _log: OffsetRange) -> None:
        outage.check()

    handler = Recorder(on_idle=on_idle)
    outage.away.set()
    with running(binder, BINDING, handler):
        wait_until(lambda: len(handler.idled) > 6, "idle was tried again")
        outage.away.clear()
        send("a")
        wait_until(lambda: handler.handled == [b"a"], "handled")


def test_any_other_error_ends_it_with_what_is_finished_committed(
    binder: MemoryBinder, send: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    def answer(batch: Batch) -> None:
        if batch.records[0].value == b"bad":
            raise ZeroDivisionError("what a bug looks like")

    handler = Recorder(answer=answer)
    send("good", "bad", "next")
    worker = Running(binder, replace(BINDING, consumer=replace(SETTINGS, batch_size=1)), handler)
    wait_until(lambda: worker.ended, "ended")
    assert isinstance(worker.error, ZeroDivisionError)
    assert handler.handled == [b"good"]
    assert sorted(handler.stopped) == [0, 1, 2]
    assert committed(binder) == {0: 1}
    assert "worker.failed" in [record.message for record in caplog.records]


@pytest.mark.parametrize("until", [StopCondition.ONCE, StopCondition.CAUGHT_UP])
def test_ends_at_once_where_there_is_nothing(binder: MemoryBinder, until: StopCondition) -> None:
    with running(binder, BINDING, Recorder(), until) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert worker.error is None


def test_once_handles_one_batch_of_each_partition(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send("a", "b", "c")
    send("x", partition=1)
    handler = Recorder()
    with running(
        binder, replace(BINDING, consumer=replace(SETTINGS, batch_size=2)), handler, StopCondition.ONCE
    ) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert {b"a", b"b", b"x"} <= set(handler.handled)


def test_caught_up_is_where_the_log_ended_at_the_start(binder: MemoryBinder, send: Callable[..., None]) -> None:
    send(*map(str, range(7)))

    def answer(_: Batch) -> None:
        send("one more", partition=0)

    handler = Recorder(answer=answer)
    settings = replace(SETTINGS, batch_size=2)
    with running(binder, replace(BINDING, consumer=settings), handler, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "ended, though something new comes with every batch")
    assert handler.handled[:7] == [str(number).encode() for number in range(7)]
    assert len(handler.handled) == 8


def test_says_which_partitions_are_left_when_another_one_has_come(
    binder: MemoryBinder, caplog: pytest.LogCaptureFixture
) -> None:
    def said() -> list[list[int]]:
        return [vars(each)["partitions"] for each in caplog.records if each.getMessage() == "worker.ready"]

    with caplog.at_level(logging.INFO, "event_stream.consumer.worker"), running(binder, BINDING, Recorder()):
        wait_until(lambda: said() == [[0, 1, 2]], "it has them all")
        with running(binder, BINDING, Recorder()):
            wait_until(lambda: [0, 2] in said() and [1] in said(), "both say what they have")


def test_logs_each_batch_with_its_correlation_ids(binder: MemoryBinder, caplog: pytest.LogCaptureFixture) -> None:
    for correlation_id in ("c-1", "c-2", "c-2"):
        with user_context.use(user_context.UserContext(correlation_id=correlation_id)):
            binder.append(replace(encode(BINDING, Message({})), partition=0))
    with (
        caplog.at_level(logging.INFO, "event_stream.consumer.worker"),
        running(binder, BINDING, Recorder(), StopCondition.CAUGHT_UP) as worker,
    ):
        wait_until(lambda: worker.ended, "ended")
    logged = [record.message for record in caplog.records]
    assert logged == ["worker.ready", "worker.batch", "worker.stopped"]
    batch = vars(caplog.records[1])
    assert {key: batch[key] for key in ("partition", "first_offset", "last_offset", "count", "correlation_ids")} == {
        "partition": 0,
        "first_offset": 0,
        "last_offset": 2,
        "count": 3,
        "correlation_ids": ["c-1", "c-2"],
    }
    assert batch["duration_s"] >= 0


def test_a_routine_batch_is_not_logged(
    binder: MemoryBinder, send: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    send("heartbeat")
    handler = Recorder(answer=lambda _: Handled(quiet=True))
    with (
        caplog.at_level(logging.INFO, "event_stream.consumer.worker"),
        running(binder, BINDING, handler, StopCondition.CAUGHT_UP) as worker,
    ):
        wait_until(lambda: worker.ended, "ended")
    assert "worker.batch" not in [record.message for record in caplog.records]


class TestSink:
    def test_calls_the_function_in_the_context_of_the_message(self, binder: MemoryBinder) -> None:
        seen: list[tuple[object, str | None, str]] = []

        def function(message: Message[object]) -> None:
            seen.append((message.payload, message.key, user_context.current_or_new().correlation_id))

        with user_context.use(user_context.UserContext(correlation_id="c-1")):
            binder.append(encode(BINDING, Message({"a": 1}, key="k")))
        with running(binder, BINDING, Sink(BINDING, function), StopCondition.CAUGHT_UP) as worker:
            wait_until(lambda: worker.ended, "ended")
        assert seen == [({"a": 1}, "k", "c-1")]

    def test_passes_over_what_it_can_not_read_and_what_is_refused(
        self, binder: MemoryBinder, send: Callable[..., None], caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[int] = []

        def function(message: Message[int]) -> None:
            if message.payload == 2:
                raise RejectedError("two is not for us")
            seen.append(message.payload)

        send("1", "{", "2", "3")
        with running(binder, BINDING, Sink(BINDING, function), StopCondition.CAUGHT_UP) as worker:
            wait_until(lambda: worker.ended, "ended")
        assert seen == [1, 3]
        rejected = [vars(record) for record in caplog.records if record.message == "message.rejected"]
        assert [(each["offset"], each["partition"]) for each in rejected] == [(1, 0), (2, 0)]
        assert rejected[1]["error"] == "two is not for us"

    def test_goes_on_in_the_middle_of_a_batch(self, binder: MemoryBinder, send: Callable[..., None]) -> None:
        seen: list[int] = []
        failures = iter([True, True, False])

        def function(message: Message[int]) -> None:
            if message.payload == 2 and next(failures):
                raise UnavailableError("later")
            seen.append(message.payload)

        send("1", "2", "3")
        with running(binder, BINDING, Sink(BINDING, function), StopCondition.CAUGHT_UP) as worker:
            wait_until(lambda: worker.ended, "ended")
        assert seen == [1, 2, 3]
