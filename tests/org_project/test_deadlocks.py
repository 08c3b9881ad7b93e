"""Writes of the same rows in any order: each is done, in turn or once more."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connections, transaction
from django.test import Client
from django.utils import timezone

from event_stream import retry
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.store import Connection, connect
from organizations import importing
from organizations.models import Organization
from tests.event_stream.read_only import read_only
from tests.event_stream.row_locks import free_rows, in_a_thread, until_one_waits
from tests.org_project.test_concurrency import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def deadlock() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = psycopg.errors.DeadlockDetected("deadlock detected")
    return error


def test_of_two_writes_in_opposite_orders_one_is_run_again(caplog: pytest.LogCaptureFixture) -> None:
    ids = [Organization.objects.create(name=name).pk for name in ("A", "B")]
    both_hold_a_row = threading.Barrier(2)
    attempts = [0, 0]

    @retry.rerun_on_conflict
    def write(number: int) -> None:
        attempts[number] += 1
        with transaction.atomic():
            first, second = ids if number else reversed(ids)
            Organization.objects.filter(pk=first).update(contact_name=f"of {number}")
            if attempts[number] == 1:
                both_hold_a_row.wait(timeout=30)
            Organization.objects.filter(pk=second).update(contact_name=f"of {number}")

    caplog.set_level("INFO", "event_stream")
    at_once(write, 2)
    assert sorted(attempts) == [1, 2]
    assert len([record for record in caplog.records if record.message == "transaction.run_again"]) == 1
    # Of the second, as a whole.
    assert set(Organization.objects.values_list("contact_name", flat=True)) == {f"of {attempts.index(2)}"}


def ids_and_file(folder: Path) -> tuple[list[uuid.UUID], str]:
    """Ids in order, and a file that has them, and their names, the other way round."""
    ids = sorted(uuid.uuid4() for _ in range(5))
    file = folder / "reversed.csv"
    file.write_text("\n".join(["id,name", *(f"{id},{9 - n}" for n, id in reversed(list(enumerate(ids))))]))
    return ids, str(file)


@pytest.mark.parametrize("write", ["import", "update", "delete"])
def test_the_lowest_id_is_locked_first(tmp_path: Path, write: str) -> None:
    ids, file = ids_and_file(tmp_path)
    call_command("import_organizations", file)
    writes: dict[str, Callable[[], Any]] = {
        "import": lambda: call_command("import_organizations", file),
        "update": lambda: Organization.objects.order_by("name").update(contact_name="x"),
        "delete": lambda: Organization.objects.order_by("name").delete(),
    }
    assert free_rows(writes[write], table="organizations_organization", held=ids[0]) == ids


def test_of_entries_to_be_sent_again_the_lowest_id_is_locked_first(boss: Client) -> None:
    for number in range(5):
        Organization.objects.create(name=str(number))
    ids = sorted(OutboxEntry.objects.values_list("id", flat=True))
    # A scan of the table meets the highest first.
    for id in reversed(ids):
        OutboxEntry.objects.filter(pk=id).update(parked_at=timezone.now(), error="too large")
    form = {"action": "send_again", "_selected_action": ids}

    free = free_rows(
        lambda: boss.post("/admin/event_stream_outbox/outboxentry/", form), table="event_stream_outbox", held=ids[0]
    )

    assert free == ids
    assert not OutboxEntry.objects.filter(parked_at__isnull=False).exists()


def test_of_new_rows_the_lowest_id_is_written_first(tmp_path: Path) -> None:
    ids, file = ids_and_file(tmp_path)
    with closing(connect("default")) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction(force_rollback=True):
            insert(other, ids[0])
            writing = pool.submit(in_a_thread, lambda: call_command("import_organizations", file))
            until_one_waits()
            with closing(connect("default")) as third, third.transaction(force_rollback=True):
                third.execute("SET LOCAL lock_timeout = '100ms'")
                for id in ids[1:]:
                    insert(third, id)
        writing.result(30)
    assert Organization.objects.count() == len(ids)


def insert(session: Connection, id: uuid.UUID) -> None:
    session.execute(
        "INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone) "
        "VALUES (%s, '', '', '', '')",
        [id],
    )


def test_a_deadlock_is_run_again_as_a_whole_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "_CONFLICT_MAX_S", 0.001)
    errors: list[Exception] = [deadlock(), deadlock()]

    @retry.rerun_on_conflict
    def write() -> str:
        with transaction.atomic():
            Organization.objects.create(name="Once")
            if errors:
                raise errors.pop()
            return "written"

    assert write() == "written"
    assert Organization.objects.count() == 1
    errors[:] = [deadlock() for _ in range(9)]
    with pytest.raises(OperationalError):
        write()
    assert len(errors) == 4
    with transaction.atomic(), pytest.raises(OperationalError):
        write()
    assert len(errors) == 3
    errors[:] = [OperationalError("the server is away")]
    with pytest.raises(OperationalError, match="away"):
        write()
    assert Organization.objects.count() == 1


@pytest.mark.parametrize("arguments", [(), ("--atomic",)])
def test_a_command_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise deadlock()

    monkeypatch.setattr(importing.Importer, "_write", staticmethod(fail))
    with pytest.raises(
        CommandError, match=r"The database has failed: deadlock detected\. Nothing was written"
    ) as raised:
        call_command("import_organizations", ids_and_file(tmp_path)[1], *arguments)
    assert raised.value.returncode == 3


def test_so_it_does_on_a_read_only_database(tmp_path: Path) -> None:
    with read_only(), pytest.raises(CommandError, match=r"read-only transaction\. Nothing was written"):
        call_command("import_organizations", ids_and_file(tmp_path)[1])
    connections.close_all()
