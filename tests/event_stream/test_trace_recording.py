"""What worker and web processes record for the trace, on PostgreSQL, and for how long."""

import dataclasses
import itertools
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from event_stream import Channel, Message, Sink, signals, user_context
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.handler import Handled
from event_stream.consumer.pauses import pauses
from event_stream.consumer.worker import StopCondition
from event_stream.dead_letters import DeadLetterPublisher, dead_letter_binding
from event_stream.dead_letters.log import dead_letter_log
from event_stream.dead_letters.replay import ReplayResult, ReplayService
from event_stream.errors import HeldError, RejectedError, RetryError
from event_stream.fenced_cache import CacheStatus, Found
from event_stream.fenced_cache.cache import FillOutcome
from event_stream.fenced_cache.read_through import ReadThrough
from event_stream.messaging.message import ConsumerRecord, ProducerRecord
from event_stream.process_name import process_name
from event_stream.testing.waiting import wait_until
from event_stream.trace import recording, writer
from event_stream.trace.models import CacheFill, HandledBatch, ParkedRecord, PartitionState
from event_stream.trace.parts import Span
from event_stream.trace.recording import LookupRecorder, WorkerRecorder
from event_stream.trace.selectors import own_part
from event_stream.trace.settings import TraceSettings
from event_stream.trace.writer import Writer
from tests.event_stream.cache_world import new_cache
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.running import running

SETTINGS = ConsumerSettings(poll_timeout_ms=20, idle_interval_ms=10, retry_initial_ms=1, retry_max_ms=20)
BINDING = Binding("inbound", "things", "memory", group="readers", consumer=SETTINGS)


@pytest.fixture
def rows(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Writer:
    """A writer that writes when the test says so, on the test's own connection."""
    settings.EVENT_STREAM_TRACE = {"record": True, "service": "reader", "consumes": ["inbound"]}
    writer = Writer(TraceSettings(buffer_size=1_000))
    monkeypatch.setattr(Writer, "_start", lambda _self: None)
    monkeypatch.setattr(recording, "process_writer", lambda: writer)
    return writer


@pytest.fixture
def of_worker(rows: Writer) -> Iterator[WorkerRecorder]:
    recorder = WorkerRecorder()
    connections = recording.receivers_of(recorder)
    for signal, receiver in connections:
        signal.connect(receiver, weak=False)
    yield recorder
    for signal, receiver in connections:
        signal.disconnect(receiver)


@pytest.fixture
def binder() -> MemoryBinder:
    return MemoryBinder("memory", {"partitions": 1})


@pytest.mark.django_db
def test_a_message_is_found_by_its_place_in_the_batch_that_had_it(
    binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder
) -> None:
    for number in range(5):
        binder.append(ProducerRecord("things", None, b"%d" % number))
    handler = Recorder(answer=lambda _: Handled(evictions=2))
    with running(binder, BINDING, handler):
        wait_until(lambda: any(isinstance(row, HandledBatch) for row in rows.waiting), "the batch is recorded")
    assert rows.write()

    part = own_part("some-id", spans=[Span("things", 0, 3, 3)])

    [batch] = part.consumed.batches
    assert (batch.group, batch.first, batch.last, batch.evictions) == ("readers", 0, 4, 2)
    assert batch.process == process_name()
    assert timezone.now() - timedelta(minutes=1) < batch.received_at <= batch.handled_at
    [standing] = part.consumed.standings
    assert (standing.position, standing.stopped, standing.paused_at) == (5, True, None)
    assert own_part("some-id", spans=[Span("things", 0, 5, 5)]).consumed.batches == ()


@pytest.mark.django_db
def test_batches_without_a_change_and_other_bindings_leave_no_row(
    binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder
) -> None:
    audit = Binding("audit", "others", "memory", group="a", consumer=SETTINGS)
    _handle_one(binder, BINDING, Handled(quiet=True))
    _handle_one(binder, audit, Handled())
    rows.write()

    assert not HandledBatch.objects.exists()
    assert {state.destination for state in PartitionState.objects.all()} == {"things"}


def _handle_one(binder: MemoryBinder, binding: Binding, answer: Handled) -> None:
    binder.append(ProducerRecord(binding.destination, None, b"x"))
    handler = Recorder(answer=lambda _: answer)
    with running(binder, binding, handler):
        wait_until(lambda: bool(handler.handled), "it is handled")


@pytest.mark.django_db
def test_what_a_person_has_paused_is_on_record(binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder) -> None:
    with running(binder, BINDING, Recorder()) as process:
        process.worker.pause(pauses([0]))
        wait_until(
            lambda: any(isinstance(row, PartitionState) and row.paused_at for row in rows.waiting), "it is paused"
        )
    rows.write()
    assert PartitionState.objects.get().reason == recording.BY_A_PERSON


@pytest.mark.django_db
def test_a_pause_is_on_record_until_it_is_over(binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder) -> None:
    server = Outage()
    server.away.set()
    binder.append(ProducerRecord("things", None, b"x"))
    with running(binder, BINDING, Recorder(answer=lambda _: server.check())):
        wait_until(
            lambda: any(isinstance(row, PartitionState) and row.paused_at for row in rows.waiting), "it is paused"
        )
        rows.write()
        paused = PartitionState.objects.get()
        assert (paused.position, paused.reason) == (0, "the server is away")
        server.away.clear()
        wait_until(lambda: any(isinstance(row, HandledBatch) for row in rows.waiting), "it goes on")
        rows.write()
    resumed = PartitionState.objects.get()
    assert (resumed.paused_at, resumed.reason) == (None, "")


def test_what_an_application_says_in_its_errors_is_not_kept() -> None:
    error = RetryError("things[0] at offset 3: ValueError: ann@example.org", 2)
    error.__cause__ = ValueError("ann@example.org")

    assert recording.reason(error) == "ValueError, tried 2 times"


@pytest.mark.django_db
def test_a_parked_record_is_on_record_once(binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder) -> None:
    record = ConsumerRecord("things", 0, 7, b"k", b"x", (), 0)
    with running(binder, BINDING, Recorder()) as process:
        wait_until(lambda: process.worker.ready and bool(rows.waiting), "the worker is known")
        of_worker.rejected(record, ValueError("secret"))
        of_worker.rejected(record, HeldError("behind"))
    rows.write()

    parked = ParkedRecord.objects.get()
    assert (parked.group, parked.offset, parked.error, parked.blocked) == ("readers", 7, "builtins.ValueError", False)


@pytest.mark.django_db
def test_a_replay_is_found_where_it_was_handled_and_a_discard_is_known(
    binder: MemoryBinder, rows: Writer, of_worker: WorkerRecorder
) -> None:
    refuses = True

    def refuse(_: Message[Any]) -> None:
        if refuses:
            raise RejectedError("not yet")

    signals.letter_settled.connect(recording.record_settlement)
    binding = dataclasses.replace(BINDING, consumer=dataclasses.replace(SETTINGS, dead_letters=True))
    source, parked = Channel(binding, binder), Channel(dead_letter_binding(binding), binder)
    sink = Sink(binding, refuse, error_handler=DeadLetterPublisher(parked, binding))
    for _ in range(2):
        binder.append(ProducerRecord("things", b"k", b'"x"', partition=0))
    with running(binder, binding, sink, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "both are parked")
    first, second = dead_letter_log(parked.read()).letters
    service = ReplayService(source, parked)

    refuses = False
    assert [*service.replay([first]), *service.discard([second])] == [ReplayResult(first), ReplayResult(second)]
    with running(binder, binding, sink, StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "the replay is handled")
    rows.write()
    signals.letter_settled.disconnect(recording.record_settlement)

    # Asked for the first alone, and for both.
    [replayed] = own_part("some-id", spans=[Span("things", 0, 0, 0)]).consumed.parked
    assert (replayed.offset, replayed.replay_partition, replayed.replay_offset) == (0, 0, 2)
    of_both = own_part("some-id", spans=[Span("things", 0, 0, 1)]).consumed
    assert {(batch.first, batch.last) for batch in of_both.batches} == {(0, 1), (2, 2)}
    discarded = of_both.parked[1]
    assert discarded.settled_at is not None
    assert discarded.replay_offset is None


class Answers:
    """The signals of a lookup, sent as `ReadThrough` does."""

    def __init__(self, recorder: LookupRecorder) -> None:
        self._recorder = recorder

    def miss(self, id: str, version: int, outcome: FillOutcome | None = FillOutcome.FILLED) -> None:
        self._recorder.filled(id=id, version=version, outcome=outcome)
        self._recorder.answered(id=id, found=Found(b"x", version, 0, CacheStatus.MISS))


@pytest.mark.django_db
def test_the_first_fill_of_a_version_is_recorded_with_the_request_that_did_it(rows: Writer) -> None:
    answers = Answers(LookupRecorder())
    with user_context.use(user_context.UserContext("lookup-1")):
        answers.miss("k", 7)
        answers.miss("k", 7)
        answers.miss("refused", 7, FillOutcome.LEASE_LOST)
        answers.miss("unversioned", 0)
    rows.write()
    # Another process has filled it again, after its entry had expired.
    with user_context.use(user_context.UserContext("lookup-2")):
        Answers(LookupRecorder()).miss("k", 7)
        Answers(LookupRecorder()).miss("k", 8)
    rows.write()

    assert [(fill.key, fill.version, fill.correlation_id) for fill in CacheFill.objects.order_by("version")] == [
        ("k", 7, "lookup-1"),
        ("k", 8, "lookup-2"),
    ]
    [fill] = own_part("lookup-1").consumed.fills
    assert (fill.key, fill.version) == ("k", 7)


@pytest.mark.django_db
def test_a_hit_and_a_lookup_that_waited_for_another_record_nothing(rows: Writer) -> None:
    recorder = LookupRecorder()
    recorder.answered(id="k", found=Found(b"x", 7, 0, CacheStatus.HIT))
    recorder.answered(id="k", found=Found(b"x", 7, 0, CacheStatus.MISS))
    recorder.filled(id="failed", version=3, outcome=FillOutcome.FILLED)
    recorder.answered(id="failed", found=None)
    recorder.answered(id="other", found=Found(b"x", 7, 0, CacheStatus.MISS))

    assert not rows.waiting


def test_rows_wait_for_a_database_that_is_away_and_the_oldest_go_first(
    rows: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_rows: object) -> None:
        raise OperationalError("connection refused")

    rows = Writer(TraceSettings(buffer_size=3))
    monkeypatch.setattr(writer, "_insert", away)
    fills = [fill(number) for number in range(5)]
    with caplog.at_level(logging.INFO, "event_stream.trace"):
        for row in fills:
            rows.add(row)
        assert not rows.write()
        assert list(rows.waiting) == fills[:3]
        written: list[Any] = []
        monkeypatch.setattr(writer, "_insert", written.extend)
        assert rows.write()
    assert written == fills[:3]
    assert [record.message for record in caplog.records] == [
        "trace.dropped",
        "trace.not_recorded",
        "trace.recorded_again",
    ]


def fill(number: int) -> CacheFill:
    now = timezone.now()
    return CacheFill(key="k", version=number, filled_at=now, answered_at=now, process="p", correlation_id="c")


@pytest.mark.django_db
def test_what_is_old_is_purged_in_small_batches(rows: Writer) -> None:
    now = timezone.now()
    times = [now - timedelta(days=8)] * 5 + [now - timedelta(days=6)] * 2
    CacheFill.objects.bulk_create(
        CacheFill(key="k", version=number, filled_at=at, answered_at=at, process="p", correlation_id="c")
        for number, at in enumerate(times)
    )
    purging = Writer(TraceSettings(retention_days=7, purge_batch_size=2))

    left = []
    for _ in range(4):
        purging.purge()
        left.append(CacheFill.objects.count())
    assert left == [5, 3, 2, 2]


@pytest.mark.django_db(transaction=True)
def test_the_thread_writes_at_once_keeps_no_connection_and_is_done_when_closed() -> None:
    writing = Writer(TraceSettings(write_interval_s=0.05))
    numbers = itertools.count()
    writing.add(fill(next(numbers)))
    wait_until(lambda: CacheFill.objects.count() == 1, "it is written")

    def others() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return int(cursor.fetchone()[0])

    wait_until(lambda: others() == 0, "the connection is closed")
    for _ in range(20):
        writing.add(fill(next(numbers)))
    writing.close()
    assert CacheFill.objects.count() == 21
    assert "trace-writer" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.django_db
def test_a_lookup_through_the_cache_is_recorded(rows: Writer) -> None:
    """The signals themselves, from the miss to the row."""
    from event_stream.fenced_cache import Fetched  # noqa: PLC0415

    recorder = LookupRecorder()
    connections = recording.receivers_of(recorder)
    for signal, receiver in connections:
        signal.connect(receiver, weak=False)
    try:
        through = ReadThrough(new_cache(), lambda _id, _budget: Fetched(9, b"value"))
        assert through.find("k").source is CacheStatus.MISS
        through.find("k")
    finally:
        for signal, receiver in connections:
            signal.disconnect(receiver)
    rows.write()

    assert [(row.key, row.version) for row in CacheFill.objects.all()] == [("k", 9)]
