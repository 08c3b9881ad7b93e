"""A message that comes again changes the database once."""

import io
import threading
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError, OperationalError, connection, connections
from django.utils import timezone

from event_stream import Binding, ConfigurationError, Message, RejectedError, Sink, encode
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import ConsumerSettings
from event_stream.consumer.worker import StopCondition
from event_stream.failpoints import Crashed, FailPoint, armed
from event_stream.inbox.idempotent import Idempotent, event_id_in_payload, purge
from event_stream.inbox.models import InboxEntry
from event_stream.outbox.store import connect
from event_stream.testing.waiting import wait_until
from tests.event_stream.running import running

pytestmark = pytest.mark.django_db(transaction=True)
CONSUMER = ConsumerSettings(idle_interval_ms=50, retry_initial_ms=1, retry_max_ms=5)
BINDING = Binding("in", "things", "memory", group="readers", consumer=CONSUMER)
EVENT = Message({"eventId": "e-1"}, key="k")


class Ledger:
    """What a handler writes: entries of its own in the same table, one for each time that it ran."""

    def __init__(self, fail: Exception | None = None) -> None:
        self.fail = fail
        self.calls = 0

    def __call__(self, message: Message[Any]) -> None:
        self.calls += 1
        InboxEntry.objects.create(group="effect", event_id=f"{message.payload} {self.calls}")
        if self.fail is not None:
            raise self.fail

    @staticmethod
    def effects() -> int:
        return InboxEntry.objects.filter(group="effect").count()


def test_the_same_event_is_handled_once_for_each_group() -> None:
    ledger = Ledger()
    for _ in range(3):
        Idempotent(BINDING, ledger)(EVENT)
    assert (ledger.calls, ledger.effects()) == (1, 1)
    Idempotent(Binding("in", "things", "memory", group="others"), ledger)(EVENT)
    Idempotent(BINDING, ledger)(Message({"eventId": "e-2"}))
    assert (ledger.calls, ledger.effects()) == (3, 3)


def test_what_fails_leaves_nothing_and_may_come_again() -> None:
    ledger = Ledger(RejectedError("no"))
    with pytest.raises(RejectedError):
        Idempotent(BINDING, ledger)(EVENT)
    assert InboxEntry.objects.count() == 0
    ledger.fail = None
    Idempotent(BINDING, ledger)(EVENT)
    assert (ledger.calls, ledger.effects()) == (2, 1)


@pytest.mark.parametrize(
    "payload",
    [{}, [], "text", {"eventId": None}, {"eventId": 5}, {"eventId": ""}, {"eventId": "a\0"}, {"eventId": "\ud800"}],
)
def test_without_an_id_it_is_handled_each_time(payload: Any) -> None:
    message = Message(payload)
    assert event_id_in_payload(message) is None
    ledger = Ledger()
    handle = Idempotent(BINDING, lambda _: ledger(EVENT))
    handle(message)
    handle(message)
    assert ledger.effects() == 2


def test_an_id_may_lie_elsewhere() -> None:
    ledger = Ledger()
    handle = Idempotent(BINDING, ledger, event_id=lambda message: message.headers.get("id"))
    for number in ("1", "1", "2"):
        handle(Message({}, headers={"id": number}))
    assert ledger.effects() == 2


def test_two_workers_with_the_same_event_wait_for_each_other() -> None:
    inside, go_on, ran = threading.Event(), threading.Event(), []

    def slow(_: Message[Any]) -> None:
        ran.append("first")
        inside.set()
        assert go_on.wait(20)

    def on_a_thread(function: Any) -> threading.Thread:
        def run() -> None:
            try:
                Idempotent(BINDING, function)(EVENT)
            finally:
                connections.close_all()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    first = on_a_thread(slow)
    assert inside.wait(20)
    second = on_a_thread(lambda _: ran.append("second"))

    def waits() -> bool:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT%'"
            )
            row = cursor.fetchone()
            return bool(row and row[0])

    wait_until(waits, "the second waits")
    go_on.set()
    first.join(20)
    second.join(20)
    assert ran == ["first"]


def test_a_worker_killed_before_its_commit_handles_nothing_twice() -> None:
    binder, ledger = MemoryBinder("memory", {"partitions": 1}), Ledger()

    for number in range(5):
        binder.append(encode(BINDING, Message({"eventId": str(number)})))
    sink, crash = Sink(BINDING, Idempotent(BINDING, ledger)), armed(FailPoint.WORKER_HANDLED_NOT_COMMITTED)
    with crash, pytest.raises(Crashed), running(binder, BINDING, sink) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert ledger.effects() == 5
    with running(binder, BINDING, Sink(BINDING, Idempotent(BINDING, ledger)), StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: worker.ended, "ended")
    assert (ledger.calls, ledger.effects()) == (5, 5)


def read_only() -> InternalError:
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = psycopg.errors.ReadOnlySqlTransaction()
    return error


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), read_only()], ids=["away", "read-only"])
def test_a_database_that_is_away_is_waited_for(error: Exception) -> None:
    binder = MemoryBinder("memory", {"partitions": 1})
    binder.append(encode(BINDING, EVENT))
    ledger = Ledger(error)
    with running(binder, BINDING, Sink(BINDING, Idempotent(BINDING, ledger)), StopCondition.CAUGHT_UP) as worker:
        wait_until(lambda: ledger.calls > 2 * CONSUMER.retry_attempts, "tried more often than an error is")
        ledger.fail = None
        wait_until(lambda: worker.ended, "ended")
    assert ledger.effects() == 1


def test_purges_what_is_old_in_batches() -> None:
    now = timezone.now()
    for number in range(25):
        InboxEntry.objects.create(group="g", event_id=str(number), received_at=now - timedelta(days=number))
    assert purge(timedelta(days=10, hours=-1), batch_size=4) == 15
    assert InboxEntry.objects.count() == 10
    out = io.StringIO()
    call_command("purge_inbox", "--days", "1", stdout=out)
    assert out.getvalue() == "9 entries older than 1 days deleted\n"


@pytest.mark.parametrize("days", ["-1", "36501", "999999999", "9" * 30])
def test_days_that_no_calendar_has_are_refused(days: str) -> None:
    with pytest.raises(CommandError, match="--days should be 0 to 36500"):
        call_command("purge_inbox", f"--days={days}")


def test_a_batch_and_a_database_that_are_none_are_refused() -> None:
    for size in ("0", "9" * 30):
        with pytest.raises(CommandError, match="--batch-size 1 to 100000"):
            call_command("purge_inbox", f"--batch-size={size}")
    with pytest.raises(CommandError, match="argument --database"):
        call_command("purge_inbox", "--database=none")


def test_a_purge_waits_for_nobody() -> None:
    for name in ("held", "free"):
        InboxEntry.objects.create(group="g", event_id=name, received_at=timezone.now() - timedelta(days=2))
    connection.cursor().execute("SET lock_timeout = '1s'")
    try:
        with closing(connect("default")) as other, other.transaction():
            other.execute("SELECT FROM event_stream_inbox_inboxentry WHERE event_id = 'held' FOR UPDATE")
            assert purge(timedelta(days=1)) == 1
    finally:
        connection.cursor().execute("SET lock_timeout TO DEFAULT")
    assert purge(timedelta(days=1)) == 1


def test_needs_a_group() -> None:
    with pytest.raises(ConfigurationError, match=r"\['out'\]\['group'\] is missing"):
        Idempotent(Binding("out", "things", "memory"), Ledger())
