"""The admin: its pages, and that everything it writes is told."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from event_stream.outbox.models import OutboxEntry
from organizations.models import Organization
from tests.org_project.conftest import Told

LIST = "/admin/organizations/organization/"

Tell = Callable[[], list[Told]]


def form_of(organization: Organization | None = None, **values: Any) -> dict[str, Any]:
    seen = {"seen_version": organization.version} if organization else {}
    return {"name": "A", "contact_name": "", "contact_email": "", "contact_phone": "", **seen, **values}


def change_url(organization: Organization) -> str:
    return f"{LIST}{organization.pk}/change/"


def test_pages(boss: Client, organization: Organization) -> None:
    organization.save()
    entry = OutboxEntry.objects.get()
    for url in ("/admin/", LIST, f"{LIST}add/", change_url(organization), f"{LIST}{organization.pk}/history/"):
        assert boss.get(url).status_code == 200, url
    page = boss.get(change_url(organization)).content.decode()
    assert str(organization.version) in page
    trace = f"/admin/event_stream_trace/trace/of/{entry.correlation_id}/"
    assert f'href="{trace}"' in page
    assert boss.get(trace).context["trace"].total == 1
    entries = "/admin/event_stream_outbox/outboxentry/"
    assert boss.get(entries, {"q": entry.correlation_id}).context["cl"].queryset.get() == entry


@pytest.mark.parametrize(
    ("search", "found"),
    [("observ", 1), ("office@example", 1), ("0100", 1), ("nobody", 0), ("' OR 1=1 --", 0), ("%", 0)],
)
def test_search(boss: Client, organization: Organization, search: str, found: int) -> None:
    assert boss.get(LIST, {"q": search}).context["cl"].result_count == found
    assert boss.get(LIST, {"q": str(organization.pk)[:13]}).context["cl"].result_count == 1


def test_filters(boss: Client, organization: Organization) -> None:
    Organization.objects.create(name="Nobody")
    for field in ("contact_name", "contact_email", "contact_phone"):
        for empty in ("0", "1"):
            found = boss.get(LIST, {f"{field}__isempty": empty}).context["cl"].queryset.get()
            assert found.name == ("Nobody" if empty == "1" else "Observatory")


def test_add(boss: Client, told: Tell) -> None:
    assert boss.post(f"{LIST}add/", form_of(name="New")).status_code == 302
    made = Organization.objects.get()
    assert told() == [Told("CREATED", str(made.pk), made.version)]


def test_change(boss: Client, organization: Organization, told: Tell) -> None:
    answer = boss.post(change_url(organization), form_of(organization, name="New"))
    assert answer.status_code == 302
    organization.refresh_from_db()
    assert organization.name == "New"
    assert told() == [Told("UPDATED", str(organization.pk), organization.version)]


def test_a_form_that_is_not_valid_writes_nothing(boss: Client, organization: Organization, told: Tell) -> None:
    answer = boss.post(change_url(organization), form_of(organization, contact_email="nobody"))
    assert answer.status_code == 200
    assert told() == []


@pytest.mark.parametrize("seen", ["", "17"])
def test_a_change_made_meanwhile_is_not_written_over(
    boss: Client, organization: Organization, told: Tell, seen: str
) -> None:
    opened = form_of(organization, name="Mine", **({"seen_version": seen} if seen == "" else {}))
    Organization.objects.update(name="Theirs")
    told()
    answer = boss.post(change_url(organization), opened)
    assert answer.status_code == 200
    assert "Somebody else has changed this organization" in answer.content.decode()
    assert Organization.objects.get().name == "Theirs"
    assert told() == []


def test_delete(boss: Client, organization: Organization, told: Tell) -> None:
    assert boss.post(f"{LIST}{organization.pk}/delete/", {"post": "yes"}).status_code == 302
    assert [(event.action, event.by_trigger) for event in told()] == [("DELETED", False)]


@pytest.fixture
def several(told: Tell) -> list[Organization]:
    made = [Organization.objects.create(name=f"N{number}", contact_name="Before") for number in range(4)]
    told()
    return made


def act(boss: Client, action: str, chosen: list[Organization], **values: Any) -> Any:
    return boss.post(LIST, {"action": action, "_selected_action": [str(each.pk) for each in chosen], **values})


def test_delete_selected(boss: Client, several: list[Organization], told: Tell) -> None:
    assert act(boss, "delete_selected", several[:3], post="yes").status_code == 302
    events = told()
    assert {(event.action, event.key, event.by_trigger) for event in events} == {
        ("DELETED", str(each.pk), False) for each in several[:3]
    }
    assert len(events) == 3


def test_set_contact(boss: Client, several: list[Organization], told: Tell) -> None:
    asked = act(boss, "set_contact", several[:3])
    assert "The contact of 3 organizations will be changed" in asked.content.decode()
    assert told() == []

    assert act(boss, "set_contact", several[:3], apply="1", contact_email="a@example.org").status_code == 302
    changed = Organization.objects.filter(contact_email="a@example.org", contact_name="Before")
    assert set(told()) == {Told("UPDATED", str(each.pk), each.version) for each in changed}
    assert changed.count() == 3


@pytest.mark.parametrize("values", [{}, {"contact_phone": "call me"}, {"contact_name": "x" * 201}])
def test_set_contact_refuses(boss: Client, several: list[Organization], told: Tell, values: dict[str, str]) -> None:
    answer = act(boss, "set_contact", several, apply="1", **values)
    assert answer.status_code == 200
    assert "errorlist" in answer.content.decode()
    assert told() == []


def test_actions_reach_all_that_were_found(boss: Client, several: list[Organization], told: Tell) -> None:
    """Also beyond the page, and with the search and the order of the list."""
    values = {"action": "publish_again", "_selected_action": str(several[0].pk), "select_across": "1"}
    assert boss.post(f"{LIST}?q=N&o=-1", values).status_code == 302
    assert set(told()) == {Told("UPDATED", str(each.pk), each.version) for each in Organization.objects.all()}


def test_an_export_can_be_imported(boss: Client, several: list[Organization]) -> None:
    answer = act(boss, "export_csv", several[:1])
    only = several[0]
    assert answer.content.decode().splitlines() == [
        "id,name,contactName,contactEmail,contactPhone",
        f"{only.pk},N0,Before,,",
    ]


def test_an_export_has_no_formulas_and_an_import_takes_the_apostrophes_back(
    boss: Client, organization: Organization, tmp_path: Path
) -> None:
    name = '=HYPERLINK("https://example.org")'
    Organization.objects.filter(pk=organization.pk).update(name=name, contact_phone="+1 555 0100")
    exported = act(boss, "export_csv", [organization]).content.decode()
    row = next(iter(csv.DictReader(exported.splitlines())))
    assert (row["name"], row["contactPhone"]) == (f"'{name}", "'+1 555 0100")
    Organization.objects.update(name="changed", contact_phone="")
    file = tmp_path / "organizations.csv"
    file.write_text(exported)
    call_command("import_organizations", str(file))
    organization.refresh_from_db()
    assert (organization.name, organization.contact_phone) == (name, "+1 555 0100")


def test_actions_want_the_permission(django_user_model: Any, several: list[Organization], told: Tell) -> None:
    clerk = Client()
    clerk.force_login(django_user_model.objects.create_user("clerk", is_staff=True))
    assert act(clerk, "publish_again", several).status_code == 403
    assert told() == []


OUTBOX = "/admin/event_stream_outbox/outboxentry/"


@pytest.fixture
def parked(organization: Organization) -> OutboxEntry:
    """One that could not be sent, beside one that waits."""
    organization.save()
    organization.save()
    entry = OutboxEntry.objects.earliest("id")
    OutboxEntry.objects.filter(pk=entry.pk).update(parked_at=timezone.now(), error="too large", partition=1, offset=2)
    return entry


@pytest.mark.parametrize("may", [True, False])
def test_a_parked_entry_is_sent_again_by_who_may(parked: OutboxEntry, django_user_model: Any, may: bool) -> None:
    staff = django_user_model.objects.create_user("staff", is_staff=True)
    permissions = ["view_outboxentry", *(["change_outboxentry"] if may else [])]
    staff.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    browser = Client()
    browser.force_login(staff)
    everything = [str(entry.pk) for entry in OutboxEntry.objects.all()]
    answer = browser.post(OUTBOX, {"action": "send_again", "_selected_action": everything}, follow=True)
    assert ("1 parked entry is to be sent again" in answer.content.decode()) is may
    parked.refresh_from_db()
    assert (parked.parked_at is None, parked.error == "", parked.offset is None) == (may, may, may)


def test_why_an_entry_is_parked_is_said(parked: OutboxEntry, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("outbox_status")
    text = capsys.readouterr().out
    assert "1 unsent" in text
    assert f"parked: outboundOrgChanges {parked.key} version {parked.version}, " in text
    assert ": too large\n" in text
    assert "send them again" in text
