"""No committed write is without its message, whatever path it took, and none has two."""

import json
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from event_stream import user_context
from event_stream.messaging.message import Message
from event_stream.outbox import emit, share_correlation_id
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.triggers import AWAKE_LOCK, CHANNEL, literal
from tests.event_stream.demo.models import BINDING, Widget
from tests.event_stream.outbox_world import new_connection, sql

pytestmark = pytest.mark.django_db(transaction=True)


def told() -> list[tuple[str, str, bool]]:
    """Key, action and whether the guard had to add it, in order; forgets them."""
    entries = list(OutboxEntry.objects.order_by("id"))
    OutboxEntry.objects.all().delete()
    return [(entry.key, entry.payload["action"], entry.by_trigger) for entry in entries]


def test_the_orm_emits_and_the_guard_adds_nothing() -> None:
    widget = Widget.objects.create(id="a")
    widget.name = "changed"
    widget.save()
    widget.delete()
    assert told() == [("a", "CREATED", False), ("a", "UPDATED", False), ("a", "DELETED", False)]


def _copy() -> None:
    with connection.cursor() as cursor, cursor.copy("COPY demo_widget (id, name) FROM STDIN") as copy:
        copy.write("a\tx\nb\ty\n")


@pytest.mark.parametrize(
    "write",
    [
        lambda: sql("INSERT INTO demo_widget (id, name) VALUES ('a', 'x'), ('b', 'y')"),
        lambda: Widget.objects.bulk_create([Widget(id="a"), Widget(id="b")]),
        _copy,
    ],
    ids=["insert", "bulk_create", "copy"],
)
def test_rows_that_come_in_round_the_orm(write: Callable[[], object]) -> None:
    write()
    assert told() == [("a", "CREATED", True), ("b", "CREATED", True)]


@pytest.mark.parametrize(
    ("write", "action"),
    [
        (lambda: sql("UPDATE demo_widget SET name = 'z'"), "UPDATED"),
        (lambda: Widget.objects.update(name="z"), "UPDATED"),
        (lambda: Widget.objects.bulk_update([Widget(id="a", name="1"), Widget(id="b", name="2")], ["name"]), "UPDATED"),
        (lambda: sql("DELETE FROM demo_widget"), "DELETED"),
        (lambda: Widget.objects.all().delete(), "DELETED"),
        (lambda: sql("MERGE INTO demo_widget USING (SELECT 1) ON true WHEN MATCHED THEN DELETE"), "DELETED"),
    ],
    ids=["update", "queryset update", "bulk_update", "delete", "queryset delete", "merge"],
)
def test_rows_that_change_round_the_orm(write: Callable[[], object], action: str) -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a'), ('b')")
    told()
    write()
    assert sorted(told()) == [("a", action, True), ("b", action, True)]


def test_rows_that_are_truncated() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a'), ('b')")
    versions = dict(Widget.objects.values_list("id", "version"))
    OutboxEntry.objects.all().delete()
    sql("TRUNCATE demo_widget")
    entries = OutboxEntry.objects.all()
    assert {(entry.key, entry.payload["action"], entry.payload["widgetId"]) for entry in entries} == {
        ("a", "DELETED", "a"),
        ("b", "DELETED", "b"),
    }
    assert all((entry.version or 0) > versions[entry.key] for entry in entries)
    assert len({entry.event_id for entry in entries}) == 2


def test_what_the_guard_writes() -> None:
    with user_context.use(user_context.UserContext("trace-1")), transaction.atomic():
        share_correlation_id()
        sql("INSERT INTO demo_widget (id, name) VALUES ('a', %s)", 'quo"te')
    entry, widget = OutboxEntry.objects.get(), Widget.objects.get()
    assert entry.payload == {
        "type": "demo.Widget's change",
        "action": "CREATED",
        "widgetId": "a",
        "name": 'quo"te',
        "correlationId": "trace-1",
        "version": widget.version,
        "eventId": str(entry.event_id),
        "occurredAt": entry.payload["occurredAt"],
    }
    assert entry.payload["occurredAt"][:16] == entry.written_at.isoformat()[:16]
    assert (entry.correlation_id, entry.version, entry.headers) == ("trace-1", widget.version, {})


def test_one_correlation_id_is_minted_for_a_transaction_and_not_kept() -> None:
    for statement in ("INSERT INTO demo_widget (id) VALUES ('a'), ('b')", "UPDATE demo_widget SET name = 'x'"):
        sql(statement)
    ids = list(OutboxEntry.objects.order_by("id").values_list("correlation_id", flat=True))
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_a_deletion_of_a_row_that_the_same_transaction_creates_anew_is_told_before_it() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    told()
    with transaction.atomic():
        sql("DELETE FROM demo_widget")
        Widget.objects.create(id="a")
    assert told() == [("a", "DELETED", True), ("a", "CREATED", False)]


def test_what_went_round_the_orm_first_is_told_first() -> None:
    with transaction.atomic():
        sql("INSERT INTO demo_widget (id) VALUES ('a')")
        widget = Widget.objects.get(id="a")
        widget.save()
        widget.delete()
    assert told() == [("a", "CREATED", True), ("a", "UPDATED", False), ("a", "DELETED", False)]


def test_a_key_can_not_change() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    with pytest.raises(Exception, match="the key of a row in demo_widget can not change"):
        sql("UPDATE demo_widget SET id = 'b'")
    assert [key for key, _, _ in told()] == ["a"]


def test_a_text_that_would_end_the_function_is_refused() -> None:
    with pytest.raises(ValueError, match="two dollar signs"):
        literal("$$; DROP TABLE x")


def test_version_never_goes_back_even_where_the_row_is_ahead_of_the_clock() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    ahead = 8_000_000_000_000_000
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE demo_widget DISABLE TRIGGER USER")
        cursor.execute("UPDATE demo_widget SET version = %s", [ahead])
        cursor.execute("ALTER TABLE demo_widget ENABLE TRIGGER USER")
    sql("UPDATE demo_widget SET version = 5")
    assert Widget.objects.get().version == ahead + 1
    sql("DELETE FROM demo_widget")
    assert OutboxEntry.objects.order_by("id").values_list("version", flat=True).last() == ahead + 2


OPERATION = st.tuples(st.sampled_from("ab"), st.sampled_from(["save", "delete", "raw upsert", "raw delete", "bulk"]))


@given(transactions=st.lists(st.tuples(st.lists(OPERATION, min_size=1, max_size=5), st.booleans()), max_size=6))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_mixture_of_writes_is_told_in_the_order_of_versions(
    transactions: list[tuple[list[tuple[str, str]], bool]],
) -> None:
    sql("TRUNCATE demo_widget")
    OutboxEntry.objects.all().delete()
    for operations, commits in transactions:
        with transaction.atomic():
            for key, operation in operations:
                _apply(key, operation)
            transaction.set_rollback(not commits)
    for key in "ab":
        entries = list(OutboxEntry.objects.filter(key=key).order_by("id"))
        versions = [entry.version for entry in entries]
        assert versions == sorted(set(versions), key=lambda version: version or 0), (key, versions)
        widget = Widget.objects.filter(id=key).first()
        if widget:
            assert entries[-1].version == widget.version
            assert entries[-1].payload["action"] != "DELETED"
        elif entries:
            assert entries[-1].payload["action"] == "DELETED"


def _apply(key: str, operation: str) -> None:
    widget = Widget.objects.filter(id=key).first()
    match operation:
        case "save":
            (widget or Widget(id=key)).save()
        case "delete" if widget:
            widget.delete()
        case "raw upsert":
            sql("INSERT INTO demo_widget (id) VALUES (%s) ON CONFLICT (id) DO UPDATE SET name = 'u'", key)
        case "raw delete":
            sql("DELETE FROM demo_widget WHERE id = %s", key)
        case "bulk":
            Widget.objects.filter(id=key).update(name="b")


def _emit_in_a_transaction() -> None:
    with transaction.atomic():
        emit(BINDING, Message({}), version=None)


@pytest.mark.parametrize("asleep", [True, False])
def test_a_relay_is_notified_only_while_it_sleeps(asleep: bool) -> None:
    with new_connection() as relay:
        relay.execute(f"LISTEN {CHANNEL}")
        if asleep:
            relay.execute(f"SELECT pg_advisory_lock({AWAKE_LOCK})")
        _emit_in_a_transaction()
        # A second, unconditional one comes after it, so that there is something to wait for.
        sql(f"NOTIFY {CHANNEL}, 'last'")
        payloads = [notification.payload for notification in relay.notifies(timeout=30, stop_after=2 if asleep else 1)]
    assert payloads == ([""] if asleep else []) + ["last"]


def test_a_relay_can_not_fall_asleep_while_a_transaction_was_told_that_it_is_awake() -> None:
    with new_connection() as relay:

        def try_to_sleep() -> object:
            row = relay.execute(f"SELECT pg_try_advisory_lock({AWAKE_LOCK})").fetchone()
            return row and row[0]

        with transaction.atomic():
            emit(BINDING, Message({}), version=None)
            assert try_to_sleep() is False
        assert try_to_sleep() is True


def test_the_entries_hold_json_that_psql_can_read() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    ((payload,),) = sql("SELECT payload::text FROM event_stream_outbox")
    assert json.loads(payload)["widgetId"] == "a"


def test_a_write_that_a_constraint_refuses_is_not_told() -> None:
    Widget.objects.create(id="a")
    told()
    with pytest.raises(IntegrityError):
        sql("INSERT INTO demo_widget (id) VALUES ('a')")
    assert told() == []


OUTBOX_OF_THE_SESSION = "CREATE TEMP TABLE event_stream_outbox (LIKE public.event_stream_outbox INCLUDING ALL)"
# Another sequence than the real one: a default that is copied along would hand out the real table's ids.
WIDGETS_OF_THE_SESSION = "CREATE TEMP TABLE demo_widget (LIKE public.demo_widget INCLUDING ALL)"


@pytest.mark.parametrize(
    "session",
    [
        [OUTBOX_OF_THE_SESSION],
        [OUTBOX_OF_THE_SESSION, WIDGETS_OF_THE_SESSION],
        ["SET search_path = ''"],
        ["SET search_path = pg_temp, public"],
        [
            "CREATE SCHEMA IF NOT EXISTS shadow",
            "CREATE TABLE shadow.event_stream_outbox ()",
            "SET search_path = shadow",
        ],
    ],
    ids=["temporary outbox", "temporary outbox and table", "empty path", "temporary first", "another schema first"],
)
@pytest.mark.parametrize(
    ("write", "action"),
    [
        ("INSERT INTO public.demo_widget (id, name) VALUES ('b', 'x')", "CREATED"),
        ("UPDATE public.demo_widget SET name = 'z'", "UPDATED"),
        ("DELETE FROM public.demo_widget", "DELETED"),
        ("TRUNCATE public.demo_widget", "DELETED"),
    ],
)
def test_a_session_can_not_divert_the_messages(session: list[str], write: str, action: str) -> None:
    """Whatever the session's search path finds under the names of the tables, the message is in the real outbox."""
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    told()
    with new_connection() as other:
        try:
            for statement in [*session, write]:
                other.execute(statement)
            assert [entry[1:] for entry in told()] == [(action, True)]
        finally:
            other.execute("DROP SCHEMA IF EXISTS shadow CASCADE")
