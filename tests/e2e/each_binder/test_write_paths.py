"""Whatever path a write takes, it evicts, and the next lookup at each licensing service is current."""

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from devstack.django_commands import ORGANIZATION, manage
from devstack.wheels import postgres_program
from event_stream.user_context import CORRELATION_ID
from tests.e2e.admin import Admin
from tests.e2e.world import ORGANIZATION as ACME
from tests.e2e.world import World, fresh

LIST = "/organizations/organization/"


@dataclass(frozen=True, slots=True)
class Write:
    """To be made: the organization shall have this contact, or be gone. `folder` is for files."""

    world: World
    admin: Admin
    id: str
    contact: str
    correlation_id: str
    folder: Path

    @property
    def path(self) -> str:
        return f"/v1/organization/{self.id}"

    @property
    def header(self) -> dict[str, str]:
        return {CORRELATION_ID: self.correlation_id}

    @property
    def organization(self) -> dict[str, str]:
        return {**ACME, "contactName": self.contact}

    def manage(self, *command: str) -> str:
        return manage(ORGANIZATION, self.world.platform.organization_settings, command)

    def shell(self, code: str) -> "Made":
        self.manage("shell", "-c", f"from organizations.models import Organization\n{code}")
        return None

    def psql(self, sql: str) -> "Made":
        url = self.world.platform.organization_settings["DATABASE_URL"]
        argv = [str(postgres_program("psql")), url, "--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-c", sql]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return None

    def act(self, action: str, **values: str) -> str:
        """A bulk action of the admin: choose the organization in the list, then answer the page that asks for more."""
        chosen = {"action": action, "_selected_action": self.id}
        asked = self.admin.submit(self.admin.get(f"{LIST}?q={self.id}"), chosen)
        self.admin.submit(asked, values, correlation_id=self.correlation_id)
        return self.correlation_id


Made = str | None
"""The correlation id that the caller was told, if the path tells one."""


def put(write: Write) -> Made:
    answer = write.world.organization("PUT", write.path, json=write.organization, headers=write.header, status=200)
    return answer.headers[CORRELATION_ID]


def patch(write: Write) -> Made:
    body = {"contactName": write.contact}
    answer = write.world.organization("PATCH", write.path, json=body, headers=write.header, status=200)
    return answer.headers[CORRELATION_ID]


def admin_form(write: Write) -> Made:
    form = write.admin.get(f"{LIST}{write.id}/change/")
    write.admin.submit(form, {"contact_name": write.contact}, correlation_id=write.correlation_id)
    return write.correlation_id


def admin_bulk_action(write: Write) -> Made:
    return write.act("set_contact", contact_name=write.contact, apply="Change")


def queryset_update(write: Write) -> Made:
    return write.shell(f"Organization.objects.filter(pk={write.id!r}).update(contact_name={write.contact!r})")


def queryset_bulk_update(write: Write) -> Made:
    return write.shell(
        f"it = Organization.objects.get(pk={write.id!r})\n"
        f"it.contact_name = {write.contact!r}\n"
        "Organization.objects.bulk_update([it], ['contact_name'])"
    )


def model_save(write: Write) -> Made:
    return write.shell(
        f"it = Organization.objects.get(pk={write.id!r})\nit.contact_name = {write.contact!r}\nit.save()"
    )


def sql_update(write: Write) -> Made:
    return write.psql(f"UPDATE organizations_organization SET contact_name = '{write.contact}' WHERE id = '{write.id}'")


def sql_delete_and_insert(write: Write) -> Made:
    return write.psql(f"BEGIN; {_deletion(write)}; {_insertion(write)}; COMMIT")


def import_file(write: Write) -> Made:
    file = write.folder / "organizations.jsonl"
    file.write_text(json.dumps({"id": write.id, **write.organization}) + "\n")
    told = re.search(r"Correlation id of the events: (\S+)", write.manage("import_organizations", str(file)))
    assert told
    return told[1]


def api_delete(write: Write) -> Made:
    answer = write.world.organization("DELETE", write.path, headers=write.header, status=204)
    return answer.headers[CORRELATION_ID]


def admin_delete_selected(write: Write) -> Made:
    return write.act("delete_selected", post="yes")


def sql_delete(write: Write) -> Made:
    return write.psql(_deletion(write))


def bulk_create(write: Write) -> Made:
    values = f"pk={write.id!r}, name='Acme', contact_name={write.contact!r}"
    return write.shell(f"Organization.objects.bulk_create([Organization({values})])")


def sql_insert(write: Write) -> Made:
    return write.psql(_insertion(write))


def _deletion(write: Write) -> str:
    return f"DELETE FROM organizations_organization WHERE id = '{write.id}'"


def _insertion(write: Write) -> str:
    columns = {"id": write.id, "name": "Acme", "contact_name": write.contact, "contact_email": "", "contact_phone": ""}
    values = ", ".join(f"'{value}'" for value in columns.values())
    return f"INSERT INTO organizations_organization ({', '.join(columns)}) VALUES ({values})"


@dataclass(frozen=True, slots=True)
class WritePath:
    """`before` and `after`: whether there is such an organization then."""

    make: Callable[[Write], Made]
    before: bool = True
    after: bool = True
    round_the_orm: bool = False

    def __str__(self) -> str:
        return self.make.__name__ if self.before else f"{self.make.__name__} of a deleted id"


PATHS = [
    WritePath(put),
    WritePath(patch),
    WritePath(admin_form),
    WritePath(admin_bulk_action),
    WritePath(model_save),
    WritePath(queryset_update),
    WritePath(queryset_bulk_update),
    WritePath(import_file),
    WritePath(sql_update, round_the_orm=True),
    WritePath(sql_delete_and_insert, round_the_orm=True),
    WritePath(api_delete, after=False),
    WritePath(admin_delete_selected, after=False),
    WritePath(sql_delete, after=False, round_the_orm=True),
    WritePath(bulk_create, before=False),
    WritePath(import_file, before=False),
    WritePath(sql_insert, before=False, round_the_orm=True),
]


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_write_evicts_and_the_next_lookups_are_current(
    world: World, admin: Admin, path: WritePath, tmp_path: Path
) -> None:
    customer = world.customer()
    if not path.before:
        world.remove(customer)
    assert {each.absent for each in world.cached(customer)} == {not path.before}
    write = Write(world, admin, customer.id, fresh("contact"), fresh(path.make.__name__), tmp_path)
    watch = world.watch_workers()

    told = path.make(write)

    event = world.event(customer.id)
    assert event.by_trigger == path.round_the_orm
    assert told in (None, event.correlation_id)
    assert watch.eviction(customer.id, event.correlation_id)["lag_ms"] >= 0
    lookups = world.lookups(customer)
    # Evicted for both: the first has to ask, and the other finds the answer of the first.
    assert [each.cache for each in lookups] == ["miss", "hit"]
    assert {each.contact for each in lookups} == {write.contact if path.after else None}
    assert {each.version for each in lookups} == {event.version}


@pytest.mark.parametrize("where", ["api", "admin form"])
def test_a_new_organization_is_told_of(world: World, admin: Admin, where: str) -> None:
    contact, correlation_id = fresh("contact"), fresh("creation")
    watch = world.watch_workers()

    if where == "api":
        body, header = {**ACME, "contactName": contact}, {CORRELATION_ID: correlation_id}
        world.organization("POST", "/v1/organization", json=body, headers=header, status=201)
    else:
        values = {"name": "Acme", "contact_name": contact}
        admin.submit(admin.get(f"{LIST}add/"), values, correlation_id=correlation_id)

    event = world.event_of(correlation_id)
    assert event.payload["action"] == "CREATED"
    watch.eviction(event.key, correlation_id)
    assert {each.contact for each in world.lookups(world.licensed(event.key))} == {contact}


def test_one_statement_over_many_organizations_evicts_each(world: World) -> None:
    customers = [world.customer() for _ in range(12)]
    for customer in customers:
        world.cached(customer)
    contact = fresh("contact")
    watch = world.watch_workers()

    world.organization_sql(
        "UPDATE organizations_organization SET contact_name = %s WHERE id = ANY(%s)",
        contact,
        [customer.id for customer in customers],
    )

    # One transaction, so one correlation id.
    [correlation_id] = {world.event(customer.id).correlation_id for customer in customers}
    for customer in customers:
        watch.eviction(customer.id, correlation_id)
        assert {each.contact for each in world.lookups(customer)} == {contact}


def test_a_transaction_that_is_rolled_back_tells_nothing(world: World, admin: Admin, tmp_path: Path) -> None:
    customer = world.customer()
    before = world.cached(customer)
    written = world.published(customer.id)
    write = Write(world, admin, customer.id, fresh("contact"), fresh("rolled-back"), tmp_path)

    write.shell(
        "from django.db import transaction\n"
        "with transaction.atomic():\n"
        f"    Organization.objects.filter(pk={write.id!r}).update(contact_name={write.contact!r})\n"
        "    transaction.set_rollback(True)"
    )
    write.psql(f"BEGIN; {_deletion(write)}; ROLLBACK")

    assert world.event(customer.id) == written
    after = world.lookups(customer)
    assert [(each.cache, each.version) for each in after] == [(each.cache, each.version) for each in before]
