"""The relay on a real database and a platform in memory: order, failures, leadership, what is kept."""

import itertools
import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.db import connection, connections, transaction
from pytest_django.fixtures import Settings

from event_stream import signals
from event_stream.errors import ConfigurationError, PublishError
from event_stream.messaging.message import Message
from event_stream.messaging.partitioner import partition_for
from event_stream.outbox import emit, emit_many, store
from event_stream.outbox.api import Emission
from event_stream.outbox.leader_lock import LeaderLock
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.relay import Relay
from event_stream.outbox.selectors import status
from event_stream.outbox.store import Connection, Store
from event_stream.outbox.triggers import LEADER_LOCK
from event_stream.process_name import process_name
from tests.event_stream.demo.models import BINDING, Widget
from tests.event_stream.outbox_world import (
    FLAKY,
    TOPIC,
    binder,
    drain,
    event_stream,
    flaky,
    offsets,
    published,
    refused,
    relaying,
    sql,
    unsendable,
    until,
    versions_in_log,
)
from tests.event_stream.read_only import read_only
from tests.event_stream.received_signals import received

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def platform(settings: Settings) -> None:
    settings.EVENT_STREAM = event_stream(FLAKY, partitions=3)


def write(*keys: str) -> None:
    """One message for each, all in one transaction; the version is the place in the outbox."""
    with transaction.atomic():
        emit_many(BINDING, [Emission(Message({"n": n}, key=key), version=n) for n, key in enumerate(keys)])


def keys_in_log() -> list[str]:
    return [(record.key or b"").decode() for record in binder().sent(TOPIC)]


def events(caplog: pytest.LogCaptureFixture, name: str) -> list[Any]:
    return [record for record in caplog.records if record.message == name]


def test_an_entry_is_sent_and_marked_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="event_stream.outbox")
    widget = Widget.objects.create(id="a")
    drain()
    entry = OutboxEntry.objects.get()
    (record,) = binder().sent(TOPIC)
    assert (entry.partition, entry.offset) == (record.partition, record.offset)
    assert record.key == b"a"
    assert dict(record.headers)["tmx-correlation-id"] == f'"{entry.correlation_id}"'.encode()
    assert entry.published_at is not None
    assert entry.published_at >= entry.written_at
    assert entry.published_by == process_name()
    (line,) = events(caplog, "outbox.published")
    assert (line.correlation_id, line.event_id, line.key) == (entry.correlation_id, str(entry.event_id), "a")
    assert (line.version, line.partition, line.offset) == (widget.version, record.partition, record.offset)
    assert line.lag_ms >= 0
    assert line.levelname == "DEBUG"
    (batch,) = events(caplog, "outbox.batch")
    assert (batch.levelname, batch.count, batch.correlation_ids) == ("INFO", 1, [entry.correlation_id])
    assert (batch.oldest_lag_ms, batch.duration_s >= 0) == (line.lag_ms, True)
    assert not events(caplog, "outbox.by_trigger")


def test_what_is_published_and_what_is_parked_send_signals() -> None:
    flaky().verdict = lambda key, _attempt: unsendable(key) if key == "bad" else None
    write("a", "bad")
    with (
        received(signals.entries_published) as batches,
        received(signals.entry_parked) as parked,
        received(signals.relay_polled) as rounds,
    ):
        drain()
    [batch] = batches
    [a] = [entry for entry in batch["entries"] if entry.key == "a"]
    assert list(batch["receipts"]) == list(batch["published_at"]) == [a.id]
    assert [entry["entry"].key for entry in parked] == ["bad"]
    assert rounds[-1]["relay"].parked == 1


def test_what_a_trigger_had_to_add_is_told(caplog: pytest.LogCaptureFixture) -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a'), ('b')")
    drain()
    (line,) = events(caplog, "outbox.by_trigger")
    assert (line.count, line.keys, len(line.correlation_ids)) == (2, ["a", "b"], 1)


def test_a_backlog_larger_than_a_batch_goes_in_order() -> None:
    write(*[f"k{n % 7}" for n in range(250)])
    drain(batch_size=20)
    for n in range(7):
        assert versions_in_log(f"k{n}") == list(range(n, 250, 7))
    placed = OutboxEntry.objects.values_list("key", "partition")
    assert all(partition == partition_for(key.encode(), 3) for key, partition in placed)


def test_an_id_that_was_given_out_first_and_committed_last_is_sent() -> None:
    early, late = connection, threading.Thread(target=_write_and_close, args=("late id",))
    with relaying():
        with transaction.atomic():
            emit(BINDING, Message({}, key="early id"), version=None)
            late.start()
            late.join()
            until(lambda: keys_in_log() == ["late id"])
        until(lambda: sorted(keys_in_log()) == ["early id", "late id"])
    ids = dict(OutboxEntry.objects.values_list("key", "id"))
    assert ids["early id"] < ids["late id"]
    assert early.is_usable()


def _write_and_close(*keys: str) -> None:
    try:
        write(*keys)
    finally:
        connection.close()


def test_concurrent_writers_of_a_key_are_told_in_the_order_of_their_versions() -> None:
    keys, writers, updates = ["a", "b", "c"], 4, 12
    for key in keys:
        Widget.objects.create(id=key)

    def keep_writing(number: int) -> None:
        try:
            for n in range(updates):
                key = keys[(n + number) % len(keys)]
                if (n + number) % 2:
                    with transaction.atomic():
                        Widget.objects.select_for_update().get(id=key).save()
                else:
                    Widget.objects.filter(id=key).update(name=f"{number}-{n}")
        finally:
            connection.close()

    threads = [threading.Thread(target=keep_writing, args=(number,)) for number in range(writers)]
    with relaying(batch_size=5):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: published() == len(keys) + writers * updates)
    for key in keys:
        versions = versions_in_log(key)
        assert versions == sorted(set(versions))
        assert versions[-1] == Widget.objects.get(id=key).version


def test_an_unsendable_message_is_parked_and_the_rest_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    flaky().verdict = lambda key, _attempt: unsendable("too\x00large") if key == "bad" else None
    write("before", "bad", "after")
    relay = drain()
    assert sorted(keys_in_log()) == ["after", "before"]
    assert relay.parked == 1
    entry = OutboxEntry.objects.get(key="bad")
    assert (entry.published_at, entry.error) == (None, "too\\x00large")
    assert (status().parked, status().unsent) == (1, 0)
    (line,) = events(caplog, "outbox.parked")
    assert (line.key, line.event_id) == ("bad", str(entry.event_id))


@pytest.fixture
def standing_in(settings: Settings) -> None:
    """Heartbeats, and something to send in the place of what can't be sent."""
    settings.EVENT_STREAM = event_stream(FLAKY, heartbeat=True, partitions=3)
    settings.EVENT_STREAM["bindings"][BINDING]["producer"]["fallback_message"] = f"{__name__}.let_go"


def let_go(payload: Any) -> Any:
    return {"letGo": payload["n"]}


def test_what_stands_in_for_a_parked_message_is_in_the_log(standing_in: None, caplog: pytest.LogCaptureFixture) -> None:
    flaky().verdict = lambda key, attempt: unsendable("too large") if (key, attempt) == ("bad", 1) else None
    with transaction.atomic():
        emit(BINDING, Message({"n": 7}, key="bad", headers={"long": "x" * 99}), version=7)
    write("good")
    drain()
    [told] = [record for record in binder().sent(TOPIC) if record.key == b"bad"]
    assert told.value == b'{"letGo":7}'
    entry = OutboxEntry.objects.get(key="bad")
    headers = dict(told.headers)
    assert headers["tmx-correlation-id"] == f'"{entry.correlation_id}"'.encode()
    assert "long" not in headers
    assert (entry.parked_at is None, entry.published_at, entry.error) == (False, None, "too large")
    assert (entry.partition, entry.offset) == (told.partition, told.offset)
    assert b"good" in {record.key for record in binder().sent(TOPIC)}
    [line] = events(caplog, "outbox.parked")
    assert line.fallback_message == {"partition": told.partition, "offset": told.offset}


def test_nothing_is_parked_before_what_stands_in_for_it_is_acknowledged(standing_in: None) -> None:
    """Or a heartbeat would say that all is in the log."""
    may_pass = threading.Event()

    def verdict(key: str, attempt: int) -> PublishError | None:
        if key != "bad" or (may_pass.is_set() and attempt % 2 == 0):
            return None
        return unsendable("too large") if attempt % 2 else PublishError("no broker")

    flaky().verdict = verdict
    write("bad")
    with relaying():
        until(lambda: flaky().attempts["bad"] >= 6)
        entry = OutboxEntry.objects.get()
        assert entry.parked_at is None
        written_us = round(entry.written_at.timestamp() * 1_000_000)
        told = [json.loads(record.value or b"") for record in binder().sent(TOPIC)]
        assert all(each["asOf"] <= written_us for each in told)
        may_pass.set()
        until(lambda: OutboxEntry.objects.get().parked_at)
        until(lambda: any(b"letGo" in (record.value or b"") for record in binder().sent(TOPIC)))

        def passed() -> bool:
            heartbeats = [json.loads(record.value or b"").get("asOf", 0) for record in binder().sent(TOPIC)]
            return bool(max(heartbeats) > written_us)

        until(passed)


def test_what_can_not_stand_in_either_is_told_and_holds_nothing_up(
    standing_in: None, caplog: pytest.LogCaptureFixture
) -> None:
    flaky().verdict = lambda key, _attempt: unsendable("too large") if key == "bad" else None
    write("bad")
    with transaction.atomic():
        emit(
            BINDING, Message({"has": "no n"}, key="worse", headers={"contentType": "application/x-unknown"}), version=1
        )
    write("good")
    drain()
    # Heartbeats have no key.
    assert {record.key for record in binder().sent(TOPIC) if record.key} == {b"good"}
    assert OutboxEntry.objects.get(key="bad").error == (
        "too large. The fallback message can't be sent either: too large"
    )
    assert OutboxEntry.objects.get(key="worse").offset is None
    assert status().parked == 2
    assert "KeyError: 'n'" in caplog.text


def test_a_message_for_a_binding_that_is_not_configured_is_parked() -> None:
    with transaction.atomic():
        emit("nobody", Message({}, key="a"), version=None)
    write("b")
    drain()
    assert keys_in_log() == ["b"]
    assert "has no 'nobody'" in OutboxEntry.objects.get(key="a").error


def test_a_payload_that_can_not_be_converted_is_parked(settings: Settings) -> None:
    settings.EVENT_STREAM = event_stream(FLAKY)
    write("good")
    with transaction.atomic():
        emit(BINDING, Message({}, key="bad", headers={"contentType": "application/x-unknown"}), version=None)
    drain()
    assert keys_in_log() == ["good"]
    assert OutboxEntry.objects.get(key="bad").parked_at is not None


@pytest.mark.parametrize("held_back", [False, True], ids=["at once", "later"])
def test_after_a_failure_nothing_later_of_its_partition_is_marked_before_it(held_back: bool) -> None:
    partition = {key: partition_for(key.encode(), 3) for key in map(str, range(30))}
    same = [key for key in partition if partition[key] == partition["0"]]
    other = next(key for key in partition if partition[key] != partition["0"])
    failing, then = same[1], same[2]
    binder = flaky()
    binder.held = [] if held_back else None
    may_pass = threading.Event()
    binder.verdict = lambda key, _attempt: PublishError("no") if key == failing and not may_pass.is_set() else None
    write(same[0], failing, then, other, failing)
    with relaying():
        if held_back:
            until(lambda: len(binder.held or []) == 5)
            held, binder.held = binder.held or [], None
            for settle in held:
                settle()
        until(lambda: binder.attempts[failing] >= 3)
        marked = set(OutboxEntry.objects.filter(published_at__isnull=False).values_list("key", flat=True))
        assert marked <= {same[0], other}
        may_pass.set()
        until(lambda: published() == 5)
    log = keys_in_log()
    last = {key: place for place, key in enumerate(log)}
    assert last[same[0]] < last[failing]
    assert log.index(failing) < last[then]
    assert offsets(*same) == sorted(offsets(*same))


def test_a_failure_holds_back_its_partition_in_the_batch_behind_it() -> None:
    """The second half of a backlog is on its way before it is known that a message of the first has failed."""
    binder = flaky()
    binder.held, numbers = [], range(6)
    may_pass = threading.Event()
    binder.verdict = lambda key, _attempt: PublishError("no") if key == "k0" and not may_pass.is_set() else None
    other = next(f"k{n}" for n in numbers[1:] if partition_for(f"k{n}".encode(), 3) != partition_for(b"k0", 3))
    # In halves of two: the failing one, and later ones of the same key and of another.
    write("k0", other, "k0", other, "k0", other)
    with relaying(batch_size=4):
        until(lambda: len(binder.held or []) == 4)
        held, binder.held = binder.held or [], None
        for settle in held:
            settle()
        until(lambda: binder.attempts["k0"] >= 4)
        assert set(OutboxEntry.objects.filter(published_at__isnull=False).values_list("key", flat=True)) <= {other}
        may_pass.set()
        until(lambda: published() == 6)
    assert versions_in_log("k0") == [0, 2, 4]
    assert versions_in_log(other) == [1, 3, 5]


def test_an_entry_that_is_gone_from_a_backlog_is_passed_over() -> None:
    """Its id may be in the list of what is to be read next."""
    binder = flaky()
    binder.held = []
    write(*[str(n) for n in range(12)])
    with relaying(batch_size=4):
        until(lambda: len(binder.held or []) == 4)
        OutboxEntry.objects.filter(key__in=["4", "5", "7"]).delete()
        held, binder.held = binder.held or [], None
        for settle in held:
            settle()
        until(lambda: published() == 9)
    assert sorted(keys_in_log(), key=int) == ["0", "1", "2", "3", "6", "8", "9", "10", "11"]


def test_an_outage_is_told_once_and_the_backlog_drains_in_order(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="event_stream.outbox")
    binder = flaky()
    binder.verdict = refused
    keys = [f"k{n % 5}" for n in range(100)]
    with relaying(batch_size=10):
        write(*keys[:50])
        until(lambda: sum(binder.attempts.values()) >= 3)
        write(*keys[50:])
        assert published() == 0
        binder.verdict = lambda _key, _attempt: None
        until(lambda: published() == 100)
    assert len(events(caplog, "outbox.unreachable")) == 1
    assert len(events(caplog, "outbox.reachable")) == 1
    for number in range(5):
        assert offsets(f"k{number}") == sorted(offsets(f"k{number}"))


def test_an_outage_holds_no_more_than_a_batch() -> None:
    binder = flaky()
    binder.held = []
    write(*[str(n) for n in range(100)])
    with relaying(batch_size=10):
        until(lambda: len(binder.held or []) == 10)
        # Held back, nothing is acknowledged, and so nothing more is read: told to stop, the relay lets go of it.
    assert len(binder.held) == 10
    assert published() == 0


def test_of_two_relays_one_leads_and_the_other_takes_over() -> None:
    with relaying() as first:
        until(lambda: first.is_leader)
        with relaying() as second:
            write("a")
            until(lambda: published() == 1)
            assert not second.is_leader
            first.stop()
            until(lambda: second.is_leader)
            write("b")
            until(lambda: published() == 2)
    assert keys_in_log().count("a") == keys_in_log().count("b") == 1


def _leaders_backend() -> int:
    key = LEADER_LOCK
    ((pid,),) = sql(
        "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND database = "
        "(SELECT oid FROM pg_database WHERE datname = current_database()) AND classid = %s AND objid = %s",
        key >> 32,
        key & 0xFFFFFFFF,
    )
    return int(pid)


def test_a_leader_that_loses_its_connection_goes_on_with_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="event_stream.outbox")
    with relaying() as relay:
        until(lambda: relay.is_leader)
        first = _leaders_backend()
        sql("SELECT pg_terminate_backend(%s)", first)
        until(lambda: len(events(caplog, "outbox.leader")) == 2)
        assert _leaders_backend() != first
        write("a")
        until(lambda: published() == 1)
    (line,) = events(caplog, "outbox.unreachable")
    assert line.server == "database"


def test_a_leader_without_its_connection_marks_nothing() -> None:
    """It was frozen, say, between sending and marking, and another has taken over."""
    binder = flaky()
    binder.held = []
    write("a")
    with relaying() as first:
        until(lambda: len(binder.held or []) == 1)
        sql("SELECT pg_terminate_backend(%s)", _leaders_backend())
        held, binder.held = binder.held or [], None
        with relaying() as second:
            until(lambda: published() == 1)
            marked = OutboxEntry.objects.get()
            assert second.is_leader
            held[0]()
            first.stop()
        assert OutboxEntry.objects.get().offset == marked.offset
    assert keys_in_log() == ["a", "a"]


def test_published_entries_are_deleted_when_they_are_old_and_no_others_are() -> None:
    write(*[f"old {n}" for n in range(25)], "new", "parked", "unsent")
    flaky().verdict = lambda key, _attempt: unsendable("no") if key == "parked" else None
    drain()
    sql("UPDATE event_stream_outbox SET published_at = now() - interval '73 hours' WHERE key LIKE 'old%%'")
    sql("UPDATE event_stream_outbox SET parked_at = now() - interval '73 hours' WHERE key = 'parked'")
    flaky().verdict = refused
    sql("UPDATE event_stream_outbox SET published_at = NULL, written_at = 'yesterday' WHERE key = 'unsent'")
    with relaying(purge_batch_size=10):
        until(lambda: OutboxEntry.objects.count() == 3)
    assert sorted(OutboxEntry.objects.values_list("key", flat=True)) == ["new", "parked", "unsent"]


def test_a_purge_waits_for_nobody() -> None:
    write("held", "free")
    drain()
    sql("UPDATE event_stream_outbox SET published_at = now() - interval '73 hours'")
    with closing(store.connect("default")) as other, closing(store.connect("default")) as session:
        session.execute("SET lock_timeout = '1s'")
        with other.transaction():
            other.execute("SELECT FROM event_stream_outbox WHERE key = 'held' FOR UPDATE")
            assert Store(session).purge(72, 10) == 1
        assert list(OutboxEntry.objects.values_list("key", flat=True)) == ["held"]
        assert Store(session).purge(72, 10) == 1


@pytest.mark.parametrize(
    "locking",
    [lambda entries: entries.check_writable(10), lambda entries: entries.purge(72, 10)],
    ids=["check", "purge"],
)
def test_what_locks_a_batch_looks_for_it_once(locking: Callable[[Store], object]) -> None:
    """In a join the planner may run a subquery for each row: with a backlog of 100,000, one check took minutes."""
    plans: list[str] = []
    with closing(store.connect("default")) as session:
        execute = session.execute

        def explain(query: str, parameters: Sequence[Any]) -> Any:
            plans.append("\n".join(row[0] for row in execute(f"EXPLAIN {query}", parameters).fetchall()))
            return execute(query, parameters)

        with mock.patch.object(session, "execute", explain):
            locking(Store(session))
    assert ["InitPlan" in plan and "Join" not in plan and "Nested Loop" not in plan for plan in plans] == [True]


def test_an_entry_changed_by_hand_is_found_without_a_notification() -> None:
    flaky().verdict = lambda _key, attempt: unsendable("no") if attempt == 1 else None
    write("a")
    with relaying(poll_interval_s=0.05):
        until(lambda: OutboxEntry.objects.get().parked_at)
        OutboxEntry.objects.update(parked_at=None)
        until(lambda: published() == 1)


def test_a_relay_at_work_sleeps_and_wakes_without_losing_a_message() -> None:
    """Bursts and pauses of many writers; nothing may wait for the poll, which is set beyond the end of the test."""
    numbers = itertools.count()

    def keep_writing() -> None:
        try:
            for pause_s in (0, 0, 0.003, 0, 0.01, 0.001, 0, 0.03) * 5:
                with transaction.atomic():
                    emit(BINDING, Message({}, key=str(next(numbers))), version=None)
                    threading.Event().wait(pause_s / 3)
                threading.Event().wait(pause_s)
        finally:
            connection.close()

    threads = [threading.Thread(target=keep_writing) for _ in range(4)]
    with relaying(poll_interval_s=3600.0, heartbeat_interval_s=3600.0, purge_interval_s=3600.0):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: published() == 160)


def test_what_is_committed_just_before_it_falls_asleep_is_not_left_lying(monkeypatch: pytest.MonkeyPatch) -> None:
    request_notify, keys = LeaderLock.request_notify, iter(["a"])

    def write_then_request_notify(leader_lock: LeaderLock) -> bool:
        # Nobody holds the lock yet, and so the writer does not notify.
        for key in keys:
            _write_and_close(key)
        return request_notify(leader_lock)

    monkeypatch.setattr(LeaderLock, "request_notify", write_then_request_notify)
    with relaying(poll_interval_s=3600.0, heartbeat_interval_s=3600.0, purge_interval_s=3600.0):
        until(lambda: published() == 1)


@pytest.mark.parametrize("key", ["heartbeat", "fallback_message"])
def test_a_wrong_function_is_refused_at_the_start(settings: Settings, key: str) -> None:
    settings.EVENT_STREAM = event_stream(FLAKY, heartbeat=True)
    settings.EVENT_STREAM["bindings"][BINDING]["producer"][key] = "nowhere.to_be_found"
    with pytest.raises(ConfigurationError, match=rf"\['producer'\]\['{key}'\] is 'nowhere.to_be_found'"):
        Relay(until_drained=True).run()


@pytest.fixture
def connected(monkeypatch: pytest.MonkeyPatch) -> list[Connection]:
    """Grows with each connection that a relay takes."""
    made: list[Connection] = []

    def connect(alias: str) -> Connection:
        made.append(store.connect(alias))
        return made[-1]

    monkeypatch.setattr("event_stream.outbox.relay.connect", connect)
    return made


def test_while_the_server_is_read_only_nothing_is_sent(
    connected: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="event_stream.outbox")
    write("a")
    with relaying() as relay:
        until(lambda: published() == 1)
        with read_only():
            sql("SELECT pg_terminate_backend(%s)", _leaders_backend())
            with transaction.atomic():
                sql("SET TRANSACTION READ WRITE")
                write("b")
            until(lambda: len(connected) > 4)
            assert not relay.is_leader
        connections.close_all()
        until(lambda: published() == 2)
    assert flaky().attempts == {"a": 1, "b": 1}
    lines = [record.message for record in caplog.records if record.message != "outbox.batch"]
    attempt = ["outbox.ready", "outbox.leader"]
    assert lines == [*attempt, "outbox.unreachable", "outbox.reachable", *attempt]


def test_a_leader_whose_session_turns_read_only_sends_nothing_more() -> None:
    write("a")
    with closing(store.connect("default")) as connection:
        entries = Store(connection)
        assert [entry.key for entry in entries.unsent(10)] == ["a"]
        connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            entries.unsent(10)
        OutboxEntry.objects.all().delete()
        assert entries.unsent(10) == []


def test_a_server_that_can_not_write_gets_one_copy_to_mark_and_no_more(
    connected: list[Connection], caplog: pytest.LogCaptureFixture
) -> None:
    """What makes it refuse shows only when an entry is marked, and then again before the next is sent."""
    caplog.set_level(logging.INFO, logger="event_stream.outbox")
    with relaying() as relay:
        until(lambda: relay.is_leader)
        sql(DISK_FULL)
        try:
            write("a")
            until(lambda: len(connected) > 4)
            assert flaky().attempts["a"] == 1
            assert len(events(caplog, "outbox.unreachable")) == 1
        finally:
            sql("DROP TRIGGER disk_full ON event_stream_outbox; DROP FUNCTION disk_full")
        until(lambda: published() == 1)
    assert flaky().attempts["a"] == 2
    assert len(events(caplog, "outbox.unreachable")) == len(events(caplog, "outbox.reachable")) == 1


DISK_FULL = """
    CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER disk_full BEFORE UPDATE ON event_stream_outbox FOR EACH ROW EXECUTE FUNCTION disk_full()
"""
