"""Writes of the same rows in any order: each is done, in turn or once more."""

import random
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

from event_stream import retry
from event_stream.outbox.store import Connection, connect
from event_stream.testing.waiting import wait_until
from organizations import importing
from organizations.models import Organization
from tests.event_stream.read_only import read_only
from tests.org_project.test_concurrency import at_once

ROWS, ROUNDS = 300, 2
pytestmark = pytest.mark.django_db(transaction=True)


def deadlock() -> OperationalError:
    error = OperationalError("deadlock detected")
    error.__cause__ = psycopg.errors.DeadlockDetected("deadlock detected")
    return error


def file_of(folder: Path, number: int, ids: list[uuid.UUID]) -> str:
    """The same ids, in an order and with names of its own: the order of names is another one than that of ids."""
    chance = random.Random(number)
    lines = [f"{id},{chance.random()}" for id in chance.sample(ids, len(ids))]
    file = folder / f"{number}.csv"
    file.write_text("\n".join(["id,name", *lines]))
    return str(file)


def test_imports_and_bulk_updates_of_the_same_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = [uuid.uuid4() for _ in range(ROWS)]
    files = [file_of(tmp_path, number, ids) for number in range(2 * ROUNDS)]
    call_command("import_organizations", files[0])

    def work(number: int) -> None:
        for turn in range(ROUNDS):
            if number < 2:
                call_command("import_organizations", files[number * ROUNDS + turn])
            else:
                Organization.objects.order_by("name").update(contact_name=f"{number} {turn}")

    caplog.set_level("INFO", "event_stream")
    at_once(work, 4)
    # One order of locks, so that none had to be run again.
    assert [record for record in caplog.records if record.message == "transaction.run_again"] == []
    assert Organization.objects.count() == ROWS


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
    with closing(connect("default")) as other, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            other.execute("SELECT FROM organizations_organization WHERE id = %s FOR UPDATE", [ids[0]])
            writing = pool.submit(in_a_thread, writes[write])
            until_one_waits()
            free = other.execute("SELECT id FROM organizations_organization FOR UPDATE SKIP LOCKED").fetchall()
        writing.result(30)
    assert sorted(id for (id,) in free) == ids


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


def in_a_thread(work: Callable[[], Any]) -> None:
    try:
        work()
    finally:
        connections.close_all()


def insert(session: Connection, id: uuid.UUID) -> None:
    session.execute(
        "INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone) "
        "VALUES (%s, '', '', '', '')",
        [id],
    )


def until_one_waits() -> None:
    """Asked in a session of its own: within a transaction the answer stays the same."""
    statement = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with closing(connect("default")) as session:
        wait_until(lambda: session.execute(statement).rowcount == 1, "one waits")


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


@pytest.mark.parametrize(
    ("arguments", "kept"), [((), "What was counted is in"), (("--atomic",), "Nothing was written")]
)
def test_a_command_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], kept: str
) -> None:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise deadlock()

    monkeypatch.setattr(importing.Importer, "_write", staticmethod(fail))
    with pytest.raises(CommandError, match=f"The database has failed: deadlock detected. {kept}") as raised:
        call_command("import_organizations", file_of(tmp_path, 1, [uuid.uuid4()]), *arguments)
    assert raised.value.returncode == 3


def test_so_it_does_on_a_read_only_database(tmp_path: Path) -> None:
    with read_only(), pytest.raises(CommandError, match=r"read-only transaction\. What was counted is in"):
        call_command("import_organizations", file_of(tmp_path, 1, [uuid.uuid4()]))
    connections.close_all()
