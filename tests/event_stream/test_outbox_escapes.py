"""Ways round the outbox that are not a session's search path: a restore, a flush, another schema, another role."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction

from event_stream.doctor import Level
from event_stream.messaging.message import Message
from event_stream.outbox import emit
from event_stream.outbox.doctor import check
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.triggers import FORGET_MESSAGES
from tests.event_stream.demo.models import BINDING, Widget
from tests.event_stream.outbox_world import new_connection, sql
from tests.event_stream.postgres_programs import dump_data, dump_database, restore, restore_database

pytestmark = pytest.mark.django_db(transaction=True)


def events() -> list[tuple[str, str]]:
    """Key and action of each message, in the order in which the relay sends them."""
    return [(entry.key, entry.payload["action"]) for entry in OutboxEntry.objects.order_by("id")]


def versions() -> dict[str, int]:
    return dict(Widget.objects.values_list("id", "version"))


def forget_messages() -> None:
    with transaction.atomic():
        sql(f"SET LOCAL {FORGET_MESSAGES} = 'on'")
        sql("TRUNCATE event_stream_outbox RESTART IDENTITY")


def database_url() -> str:
    database = connection.settings_dict
    return "postgresql://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**database)


def test_rows_that_are_restored_have_their_events(tmp_path: Path) -> None:
    sql("INSERT INTO demo_widget (id, name) VALUES ('a', 'x'), ('b', 'y')")
    old = versions()
    dump = dump_data(database_url(), "demo_widget")
    sql("TRUNCATE demo_widget")
    forget_messages()
    restore(database_url(), dump, tmp_path)
    assert events() == [("a", "CREATED"), ("b", "CREATED")]
    assert all(version > old[key] for key, version in versions().items())
    assert dict(OutboxEntry.objects.values_list("key", "version")) == versions()


@pytest.mark.parametrize(
    "tables", [("demo_widget", "event_stream_outbox"), ("event_stream_outbox", "demo_widget")], ids=lambda pair: pair[0]
)
def test_rows_that_are_restored_with_their_outbox_have_new_events_beside_the_old_ones(
    tables: tuple[str, str], tmp_path: Path
) -> None:
    """pg_dump orders tables by their names, so either may come first."""
    forget_messages()
    sql("INSERT INTO demo_widget (id) VALUES ('a'), ('b')")
    sql("UPDATE demo_widget SET name = 'z'")
    old = set(OutboxEntry.objects.values_list("event_id", flat=True))
    dump = "".join(dump_data(database_url(), table) for table in tables)
    sql("TRUNCATE demo_widget")
    forget_messages()
    restore(database_url(), dump, tmp_path)
    restored = OutboxEntry.objects.filter(event_id__in=old)
    assert restored.count() == len(old)
    assert dict(OutboxEntry.objects.exclude(event_id__in=old).values_list("key", "version")) == versions()
    # The dump has set the sequence back; new entries still come behind all others.
    last = OutboxEntry.objects.latest("id").pk
    sql("UPDATE demo_widget SET name = 'after'")
    assert dict(OutboxEntry.objects.filter(id__gt=last).values_list("key", "version")) == versions()


@pytest.fixture
def empty_database() -> Iterator[str]:
    """The URL of another database of the same server."""
    with new_connection() as server:
        server.execute("DROP DATABASE IF EXISTS outbox_test_restored")
        server.execute("CREATE DATABASE outbox_test_restored TEMPLATE template0")
        try:
            yield urlsplit(database_url())._replace(path="/outbox_test_restored").geturl()
        finally:
            server.execute("DROP DATABASE outbox_test_restored WITH (FORCE)")


def test_a_full_restore_brings_all_back_and_what_is_written_afterwards_has_its_events(
    empty_database: str, tmp_path: Path
) -> None:
    sql("INSERT INTO demo_widget (id, name) VALUES ('a', 'x'), ('b', 'y')")
    sql("UPDATE demo_widget SET name = 'z'")
    tables = (
        "SELECT id, name, version FROM demo_widget ORDER BY id",
        "SELECT id, event_id, key, version, payload::text, published_at FROM event_stream_outbox ORDER BY id",
    )
    dump_database(database_url(), tmp_path / "dump")
    restore_database(empty_database, tmp_path / "dump")
    with psycopg.connect(empty_database, autocommit=True) as restored:
        for table in tables:
            assert restored.execute(table).fetchall() == sql(table) != []
        restored.execute("UPDATE demo_widget SET name = 'after' WHERE id = 'a'")
        restored.execute("DELETE FROM demo_widget WHERE id = 'b'")
        restored.execute("INSERT INTO demo_widget (id, name) VALUES ('c', 'after')")
        later = restored.execute(
            "SELECT key, payload->>'action' FROM event_stream_outbox WHERE id > %s ORDER BY id",
            [OutboxEntry.objects.latest("id").pk],
        ).fetchall()
        assert later == [("a", "UPDATED"), ("b", "DELETED"), ("c", "CREATED")]
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            restored.execute("TRUNCATE event_stream_outbox")


def test_an_entry_whose_id_is_taken_gets_another() -> None:
    with transaction.atomic():
        taken = emit(BINDING, Message({"action": "first"}), version=None)
        OutboxEntry(id=taken.pk, event_id=taken.event_id, binding=BINDING, payload={"action": "second"}).save(
            force_insert=True
        )
    assert [action for _, action in events()] == ["first", "second"]


def test_the_outbox_can_not_be_truncated_with_the_data() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a')")
    for tables in ("demo_widget, event_stream_outbox", "event_stream_outbox, demo_widget", "event_stream_outbox"):
        with new_connection() as other, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as refused:
            other.execute(f"TRUNCATE {tables} CASCADE")
        assert "Truncate the other tables alone" in (refused.value.diag.message_hint or "")
    assert (set(versions()), events()) == ({"a"}, [("a", "CREATED")])


def test_the_flush_command_publishes_the_deletions_and_keeps_what_is_unsent() -> None:
    sql("INSERT INTO demo_widget (id) VALUES ('a'), ('b')")
    call_command("flush", interactive=False, verbosity=0)
    assert not Widget.objects.exists()
    assert events() == [("a", "CREATED"), ("b", "CREATED"), ("a", "DELETED"), ("b", "DELETED")]
    # The outbox is left out of this one command alone.
    assert OutboxEntry._meta.db_table in connection.introspection.django_table_names()


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_finds_an_outbox_without_the_messages_of_the_one_before(attempt: int) -> None:
    assert not OutboxEntry.objects.exists()
    Widget.objects.create(id=str(attempt))


@pytest.fixture
def other_schema() -> Iterator[str]:
    """Django's connection sees this schema and no other, as with `options=-c search_path=tenant`."""
    sql("CREATE SCHEMA tenant")
    sql("SET search_path = tenant")
    try:
        yield "tenant"
    finally:
        sql("SET search_path TO DEFAULT")
        sql("DROP SCHEMA tenant CASCADE")


def test_an_installation_in_another_schema_has_its_events_there(other_schema: str) -> None:
    call_command("migrate", verbosity=0, interactive=False)
    Widget.objects.create(id="a")
    sql("UPDATE demo_widget SET name = 'z'")
    with new_connection() as other:
        other.execute(f"UPDATE {other_schema}.demo_widget SET name = 'from public'")
        assert other.execute("SELECT count(*) FROM public.event_stream_outbox").fetchone() == (0,)
    Widget.objects.all().delete()
    Widget.objects.create(id="b")
    sql("TRUNCATE demo_widget")
    assert events() == [
        ("a", "CREATED"),
        ("a", "UPDATED"),
        ("a", "UPDATED"),
        ("a", "DELETED"),
        ("b", "CREATED"),
        ("b", "DELETED"),
    ]
    assert [finding.level for finding in check() if finding.subject == "triggers"] == [Level.OK]


@pytest.fixture
def writer() -> Iterator[str]:
    """A role that may write the table, and knows nothing of the outbox."""
    sql("CREATE ROLE outbox_test_writer")
    sql("GRANT SELECT, INSERT, UPDATE, DELETE ON demo_widget TO outbox_test_writer")
    try:
        yield "outbox_test_writer"
    finally:
        sql("DROP OWNED BY outbox_test_writer")
        sql("DROP ROLE outbox_test_writer")


WRITES = ["INSERT INTO demo_widget (id) VALUES ('b')", "UPDATE demo_widget SET name = 'z'", "DELETE FROM demo_widget"]


@pytest.mark.parametrize("write", WRITES)
def test_a_role_that_may_not_write_events_can_not_write_rows(writer: str, write: str) -> None:
    Widget.objects.create(id="a")
    before = versions(), events()
    with new_connection() as other:
        other.execute(f"SET ROLE {writer}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="event_stream_outbox"):
            other.execute(write)
    assert (versions(), events()) == before


@pytest.mark.parametrize(
    ("write", "event"), list(zip(WRITES, [("b", "CREATED"), ("a", "UPDATED"), ("a", "DELETED")], strict=True))
)
def test_a_role_that_may_write_events_has_them(writer: str, write: str, event: tuple[str, str]) -> None:
    Widget.objects.create(id="a")
    sql(f"GRANT SELECT, INSERT, UPDATE ON event_stream_outbox TO {writer}")
    with new_connection() as other:
        other.execute(f"SET ROLE {writer}")
        other.execute(write)
    assert events() == [("a", "CREATED"), event]


@pytest.mark.parametrize("setting", ["session_replication_role = replica", f"{FORGET_MESSAGES} = 'on'"])
def test_the_doctor_finds_a_role_whose_writes_have_no_events(writer: str, setting: str) -> None:
    sql(f"ALTER ROLE {writer} SET {setting}")
    found = [finding for finding in check() if finding.level is Level.FAILED and finding.subject == "triggers"]
    assert [f"the role {writer} has {setting.split(maxsplit=1)[0]}=" in finding.text for finding in found] == [True]


def test_every_function_of_a_trigger_has_a_search_path_of_its_own() -> None:
    paths = dict(
        sql(
            """
            SELECT tgname, array_to_string(proconfig, '; ') FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
            WHERE NOT tgisinternal AND pronamespace <> 'pg_catalog'::regnamespace
            """
        )
    )
    assert len(paths) >= 6
    assert set(paths.values()) == {"search_path=pg_catalog, public, pg_temp"}
