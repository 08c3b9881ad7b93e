"""Every committed version has exactly one event, by whatever path it was written; nothing rolled back has any."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client

from event_stream import user_context
from event_stream.outbox.models import OutboxEntry
from organizations import events, querysets
from organizations.models import Organization
from tests.org_project.conftest import Told, url_of

NEW = uuid.UUID("11111111-2222-4333-8444-555555555555")
JSON = "application/json"

Tell = Callable[[], list[Told]]


def version_of(pk: Any) -> int:
    return Organization.objects.values_list("version", flat=True).get(pk=pk)


def execute(sql: str, *parameters: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def loaddata(tmp_path: Path) -> None:
    file = tmp_path / "fixture.json"
    fields = {"name": "Fixture", "contact_name": "", "contact_email": "", "contact_phone": "", "version": 3}
    file.write_text(json.dumps([{"model": "organizations.organization", "pk": str(NEW), "fields": fields}]))
    call_command("loaddata", file, verbosity=0)


def imported(tmp_path: Path) -> None:
    file = tmp_path / "organizations.csv"
    file.write_text(f"id,name\n{NEW},Imported\n")
    call_command("import_organizations", str(file))


def copied(tmp_path: Path) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY organizations_organization (id, name, contact_name, contact_email, contact_phone) FROM STDIN"
        ) as copy,
    ):
        copy.write_row((str(NEW), "Copied", "", "", ""))


INSERT = """INSERT INTO organizations_organization (id, name, contact_name, contact_email, contact_phone, version)
            VALUES (%s, 'Raw', '', '', '', 5)"""

CREATIONS = {
    "save": lambda tmp_path: Organization(pk=NEW, name="A").save(),
    "save of a version that somebody made up": lambda tmp_path: Organization(pk=NEW, name="A", version=7).save(),
    "create": lambda tmp_path: Organization.objects.create(pk=NEW, name="A"),
    "get_or_create": lambda tmp_path: Organization.objects.get_or_create(pk=NEW, defaults={"name": "A"}),
    "update_or_create": lambda tmp_path: Organization.objects.update_or_create(pk=NEW, defaults={"name": "A"}),
    "bulk_create": lambda tmp_path: Organization.objects.bulk_create([Organization(pk=NEW, name="A")]),
    "bulk_create ignoring conflicts": lambda tmp_path: Organization.objects.bulk_create(
        [Organization(pk=NEW, name="A")], ignore_conflicts=True
    ),
    "bulk_create updating conflicts": lambda tmp_path: Organization.objects.bulk_create(
        [Organization(pk=NEW, name="A")], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
    ),
    "loaddata": loaddata,
    "import": imported,
}
RAW_CREATIONS = {"INSERT": lambda tmp_path: execute(INSERT, NEW), "COPY": copied}


@pytest.mark.parametrize("create", CREATIONS.values(), ids=CREATIONS)
def test_creation_is_told_once(create: Callable[[Path], Any], told: Tell, tmp_path: Path) -> None:
    create(tmp_path)
    assert told() == [Told("CREATED", str(NEW), version_of(NEW))]


@pytest.mark.parametrize("create", RAW_CREATIONS.values(), ids=RAW_CREATIONS)
def test_creation_around_the_orm_is_told_once(create: Callable[[Path], Any], told: Tell, tmp_path: Path) -> None:
    create(tmp_path)
    assert told() == [Told("CREATED", str(NEW), version_of(NEW), by_trigger=True)]


def changed(organization: Organization) -> Organization:
    organization.name = "Changed"
    return organization


UPDATES: dict[str, Callable[[Organization], Any]] = {
    "save": lambda it: changed(it).save(),
    "save of one field": lambda it: changed(it).save(update_fields=["name"]),
    "save without a change": lambda it: it.save(),
    "save over an older state": lambda it: Organization(pk=it.pk, name="Changed", version=1).save(force_update=True),
    "update_or_create": lambda it: Organization.objects.update_or_create(pk=it.pk, defaults={"name": "Changed"}),
    "QuerySet.update": lambda it: Organization.objects.filter(name=it.name).update(name="Changed"),
    "QuerySet.bulk_update": lambda it: Organization.objects.bulk_update([changed(it)], ["name"]),
    "bulk_create updating conflicts": lambda it: Organization.objects.bulk_create(
        [Organization(pk=it.pk, name="A")], update_conflicts=True, unique_fields=["id"], update_fields=["name"]
    ),
    "PUT": lambda it: Client().put(url_of(it), {"name": "Changed"}, content_type=JSON),
    "PATCH": lambda it: Client().patch(url_of(it), {"contactName": "Changed"}, content_type=JSON),
}


@pytest.mark.parametrize("update", UPDATES.values(), ids=UPDATES)
def test_update_is_told_once(update: Callable[[Organization], Any], organization: Organization, told: Tell) -> None:
    before = version_of(organization.pk)
    update(organization)
    after = version_of(organization.pk)
    assert after > before
    assert told() == [Told("UPDATED", str(organization.pk), after)]


def test_update_around_the_orm_is_told_once(organization: Organization, told: Tell) -> None:
    execute("UPDATE organizations_organization SET name = 'Raw', version = 1 WHERE id = %s", organization.pk)
    after = version_of(organization.pk)
    assert after > organization.version
    assert told() == [Told("UPDATED", str(organization.pk), after, by_trigger=True)]


DELETIONS: dict[str, Callable[[Organization], Any]] = {
    "delete": lambda it: Organization.objects.get(pk=it.pk).delete(),
    "delete of an older state": lambda it: Organization(pk=it.pk, version=1).delete(),
    "QuerySet.delete": lambda it: Organization.objects.filter(pk=it.pk).delete(),
    "DELETE": lambda it: Client().delete(url_of(it)),
}


@pytest.mark.parametrize("delete", DELETIONS.values(), ids=DELETIONS)
def test_deletion_is_told_once(delete: Callable[[Organization], Any], organization: Organization, told: Tell) -> None:
    delete(organization)
    [event] = told()
    assert (event.action, event.key, event.by_trigger) == ("DELETED", str(organization.pk), False)
    assert event.version is not None
    assert event.version > organization.version
    assert not Organization.objects.exists()


def test_deletion_around_the_orm_is_told_once(organization: Organization, told: Tell) -> None:
    execute("DELETE FROM organizations_organization")
    [event] = told()
    assert (event.action, event.key, event.by_trigger) == ("DELETED", str(organization.pk), True)
    assert event.version is not None
    assert event.version > organization.version


def test_deleting_what_is_gone_tells_nothing(organization: Organization, told: Tell) -> None:
    again = Organization.objects.get()
    organization.delete()
    told()
    assert again.delete() == (0, {})
    assert told() == []


WRITES: dict[str, Callable[[Organization], Any]] = (
    UPDATES
    | DELETIONS
    | {
        "create": lambda it: Organization.objects.create(name="A"),
        "bulk_create": lambda it: Organization.objects.bulk_create([Organization(name="A")]),
        "raw SQL": lambda it: execute("UPDATE organizations_organization SET name = 'Raw'"),
    }
)


class GivenUpError(Exception):
    pass


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_is_rolled_back_tells_nothing(
    write: Callable[[Organization], Any], organization: Organization, told: Tell
) -> None:
    with pytest.raises(GivenUpError), transaction.atomic():
        write(organization)
        raise GivenUpError
    assert told() == []
    assert list(Organization.objects.values_list("name", "version")) == [("Observatory", version_of(organization.pk))]


@pytest.mark.parametrize("write", [value for name, value in WRITES.items() if name != "raw SQL" and not name.isupper()])
def test_a_write_whose_event_fails_is_undone(
    write: Callable[[Organization], Any], organization: Organization, told: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No transaction is open around it: the write itself has to hold both together."""

    def fail(*args: Any, **kwargs: Any) -> None:
        raise GivenUpError

    before = list(Organization.objects.values())
    monkeypatch.setattr(events, "emit_many", fail)
    with pytest.raises(GivenUpError):
        write(organization)
    assert list(Organization.objects.values()) == before
    assert told() == []


def test_bulk_writes_of_several_chunks_tell_of_each_row(told: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querysets, "CHUNK", 3)
    Organization.objects.bulk_create([Organization(name=f"N{number}") for number in range(10)])
    assert {(event.action, event.by_trigger) for event in told()} == {("CREATED", False)}

    assert Organization.objects.filter(name__lt="N7").update(name="N9") == 7
    versions = {str(pk): version for pk, version in Organization.objects.filter(name="N9").values_list("pk", "version")}
    updates = told()
    assert len(updates) == 7
    assert all(versions[event.key] == event.version and event.action == "UPDATED" for event in updates)

    assert Organization.objects.filter(name="N9").delete() == (8, {"organizations.Organization": 8})
    deletions = told()
    assert [event.action for event in deletions] == ["DELETED"] * 8
    assert {event.key for event in deletions} == set(versions)


def test_bulk_create_ignoring_conflicts_tells_of_the_new_ones_only(organization: Organization, told: Tell) -> None:
    Organization.objects.bulk_create(
        [Organization(pk=organization.pk, name="B"), Organization(pk=NEW, name="C")], ignore_conflicts=True
    )
    assert told() == [Told("CREATED", str(NEW), version_of(NEW))]


def test_bulk_create_updating_conflicts_tells_which_is_which(organization: Organization, told: Tell) -> None:
    Organization.objects.bulk_create(
        [Organization(pk=organization.pk, name="B"), Organization(pk=NEW, name="C")],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["name"],
    )
    assert {(event.action, event.key, event.version) for event in told()} == {
        ("UPDATED", str(organization.pk), version_of(organization.pk)),
        ("CREATED", str(NEW), version_of(NEW)),
    }


def test_each_version_of_one_transaction_is_told(organization: Organization, told: Tell) -> None:
    versions = []
    with transaction.atomic():
        for name in ("B", "C"):
            organization.name = name
            organization.save()
            versions.append(organization.version)
        organization.delete()
        versions.append(organization.version)
        organization.save()
        versions.append(organization.version)
    found = told()
    assert [event.action for event in found] == ["UPDATED", "UPDATED", "DELETED", "CREATED"]
    assert [event.version for event in found] == versions == sorted(set(versions))


def test_a_bulk_write_refuses_a_slice(organization: Organization) -> None:
    with pytest.raises(TypeError):
        Organization.objects.all()[:1].update(name="B")


def test_reads_are_told_only_where_that_is_wanted(
    organization: Organization, told: Tell, api: Client, settings: Any
) -> None:
    api.get(url_of(organization))
    assert told() == []
    settings.ORGANIZATION_PUBLISH_READS = True
    api.get(url_of(organization))
    # No version of the row: the guard must not take it for the event of one.
    assert told() == [Told("GET", str(organization.pk), None)]


def test_the_event_carries_the_callers_context(organization: Organization, api: Client) -> None:
    headers = {"tmx-correlation-id": "order-66", "tmx-user-id": "u1", "Authorization": "Bearer secret"}
    answer = api.patch(url_of(organization), {"name": "B"}, content_type=JSON, headers=headers)
    entry = OutboxEntry.objects.get()
    assert answer.headers["tmx-correlation-id"] == entry.correlation_id == entry.payload["correlationId"] == "order-66"
    assert entry.headers == {"tmx-user-id": "u1"}


def test_one_bulk_write_outside_of_a_request_has_one_correlation_id(told: Tell) -> None:
    Organization.objects.bulk_create([Organization(name="A"), Organization(name="B")])
    [found] = set(OutboxEntry.objects.values_list("correlation_id", flat=True))
    assert user_context.is_acceptable(found)


def test_the_heartbeat_keeps_to_the_schema(event_schema: Any) -> None:
    heartbeat = events.heartbeat(1_795_461_663_537_478)
    event_schema.validate(heartbeat)
    assert heartbeat["asOf"] == "2026-11-23T19:21:03.537478Z"
    # A consumer of the four keys passes over it: it names no organization.
    assert "organizationId" not in heartbeat
