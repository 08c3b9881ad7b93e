"""Bulk actions of the admin with "select all", over more rows than a form may have fields."""

from collections.abc import Callable
from typing import Any

import pytest
from axes.models import AccessAttempt, AccessFailureLog, AccessLog
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from event_stream.outbox.models import OutboxEntry
from organizations import events
from organizations.models import Organization
from tests.confirmation_pages import confirm, said, select_all

pytestmark = pytest.mark.django_db(transaction=True)
COUNT = 154
LIST = "/admin/organizations/organization/"

ROWS: dict[type[Model], Callable[[int], Model]] = {
    Organization: lambda number: Organization(name=f"Organization {number}"),
    OutboxEntry: lambda number: OutboxEntry(
        binding=events.BINDING, key=str(number), payload={}, parked_at=timezone.now(), error="too large"
    ),
    Group: lambda number: Group(name=f"Group {number}"),
    User: lambda number: User(username=f"user {number}"),
    AccessAttempt: lambda number: AccessAttempt(
        username=f"user {number}", get_data="", post_data="", failures_since_start=1
    ),
    AccessLog: lambda number: AccessLog(username=f"user {number}"),
    AccessFailureLog: lambda number: AccessFailureLog(username=f"user {number}"),
}
FILLED_IN = {"set_contact": {"contact_name": "Ada"}}


def actions() -> list[Any]:
    """Every action of every list, from the site."""
    admin.autodiscover()
    request = type("Request", (), {"user": User(is_superuser=True), "GET": {}})()
    return [
        pytest.param(model, action, id=f"{model._meta.label_lower}-{action}")
        for model, model_admin in admin.site._registry.items()
        for action in model_admin.get_actions(request)
    ]


def url_of(model: type[Model]) -> str:
    return f"/admin/{model._meta.app_label}/{model._meta.model_name}/"


def make(model: type[Model], count: int = COUNT) -> list[str]:
    model._default_manager.bulk_create([ROWS[model](number) for number in range(count)])
    return [str(pk) for pk in model._default_manager.values_list("pk", flat=True)[:50]]


@pytest.mark.parametrize(("model", "action"), actions())
def test_select_all_takes_more_rows_than_a_form_may_have_fields(
    boss: Client, settings: Any, monkeypatch: pytest.MonkeyPatch, model: type[Model], action: str
) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FIELDS = 100
    monkeypatch.setattr("service_kit.admin.CHUNK", 40)
    ticked = make(model)
    count = model._default_manager.count()
    assert count >= COUNT > settings.DATA_UPLOAD_MAX_NUMBER_FIELDS

    page = select_all(boss, url_of(model), action, ticked)

    if page.status_code == 200 and page["Content-Type"].startswith("text/html"):
        assert len(page.content) < 100_000
        page = confirm(boss, url_of(model), page, **FILLED_IN.get(action, {}))
        assert page.status_code == 200
        assert model is User or str(count) in said(page)[0]
    else:
        assert page.status_code in {200, 302}
    if action == "delete_selected":
        # Among the users is the person at the page.
        assert not model._default_manager.exists()


def test_every_deletion_has_its_event_and_its_line_in_the_history(boss: Client, told: Callable[[], list[Any]]) -> None:
    count = 1_154
    ticked = make(Organization, count)
    told()
    confirm(boss, LIST, select_all(boss, LIST, "delete_selected", ticked))
    assert [event.action for event in told()] == ["DELETED"] * count
    logged = admin.models.LogEntry.objects.filter(content_type=ContentType.objects.get_for_model(Organization))
    assert logged.count() == count


@pytest.mark.parametrize(("action", "filled_in"), [("delete_selected", {}), ("set_contact", {"contact_name": "Ada"})])
def test_nothing_is_done_if_the_filter_finds_more_than_was_shown(
    boss: Client, action: str, filled_in: dict[str, str]
) -> None:
    ticked = make(Organization, 3)
    page = select_all(boss, LIST, action, ticked)
    Organization.objects.create(name="Later")
    again = confirm(boss, LIST, page, **filled_in)
    assert said(again)[0] == "Nothing was done: the filter finds another number of them by now."
    assert Organization.objects.filter(contact_name="").count() == 4
    confirm(boss, LIST, again, **filled_in)
    assert Organization.objects.filter(contact_name="").count() == 0


def test_the_filter_holds_after_the_confirmation(boss: Client) -> None:
    ticked = make(Organization, 3)
    Organization.objects.create(name="Another")
    url = f"{LIST}?q=Organization"
    confirm(boss, url, select_all(boss, url, "delete_selected", ticked))
    assert [organization.name for organization in Organization.objects.all()] == ["Another"]


@pytest.mark.parametrize("is_all", [True, False])
def test_deleting_says_what_becomes_of_the_licenses(boss: Client, is_all: bool) -> None:
    [ticked] = make(Organization, 1)
    pages = [
        boss.get(f"{LIST}{ticked}/delete/"),
        boss.post(LIST, {"action": "delete_selected", "_selected_action": ticked, "select_across": str(int(is_all))}),
    ]
    for page in pages:
        assert "stay in the licensing service" in page.content.decode()
    assert said(confirm(boss, LIST, pages[1])) == ["Successfully deleted 1 organization."]
