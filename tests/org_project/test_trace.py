"""The organization service's part of a trace: out of its outbox alone, bounded, and for those who may see it."""

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from event_stream import user_context
from event_stream.outbox.models import OutboxEntry
from event_stream.trace.inquiry import find_trace
from event_stream.trace.selectors import MAX_CHANGES, own_part
from organizations.models import Organization
from tests.org_project.conftest import Told, url_of

TRACES = "/admin/event_stream_trace/trace/"
Tell = Callable[[], list[Told]]


def entries(count: int, correlation_id: str, **values: Any) -> None:
    OutboxEntry.objects.bulk_create(
        OutboxEntry(
            binding="outboundOrgChanges",
            key=f"k{number}",
            payload={},
            version=number + 1,
            correlation_id=correlation_id,
            **values,
        )
        for number in range(count)
    )


@pytest.mark.django_db
def test_a_large_change_is_counted_whole_and_shown_in_part_what_waits_first() -> None:
    entries(MAX_CHANGES + 20, "bulk", published_at=timezone.now(), partition=1, offset=7)
    entries(3, "bulk")
    OutboxEntry.objects.filter(correlation_id="bulk", key="k9").update(partition=2, offset=9)

    produced = own_part("bulk").produced

    assert produced is not None
    assert (produced.total, produced.sent, produced.parked) == (MAX_CHANGES + 23, MAX_CHANGES + 20, 0)
    assert len(produced.changes) == MAX_CHANGES
    assert sum(change.sent_at is None for change in produced.changes) == 3
    assert [(span.partition, span.first, span.last, span.count) for span in produced.spans] == [
        (1, 7, 7, MAX_CHANGES + 19),
        (2, 9, 9, 1),
    ]
    assert produced.relay_leads is False


@pytest.mark.django_db
def test_it_says_how_many_messages_of_others_come_first() -> None:
    entries(4, "others")
    entries(1, "mine")

    assert own_part("mine").produced.ahead == 4  # type: ignore[union-attr]


def user_of(correlation_id: str, *, named_users: bool) -> str:
    produced = own_part(correlation_id, named_users=named_users).produced
    assert produced is not None
    [change] = produced.changes
    return change.user


def test_an_edit_in_the_admin_names_its_user_to_the_admin_and_its_id_to_others(
    boss: Client, organization: Organization, told: Tell
) -> None:
    form = {"name": "New", "contact_name": "", "contact_email": "", "contact_phone": ""}
    boss.post(
        f"/admin/organizations/organization/{organization.pk}/change/",
        {**form, "seen_version": str(organization.version)},
        headers={user_context.CORRELATION_ID: "edit-1"},
    )

    named, unnamed = (user_of("edit-1", named_users=it) for it in (True, False))
    assert named == "boss, in the admin"
    assert unnamed.startswith("user ")
    page = boss.get(f"{TRACES}of/edit-1/")
    assert "by boss, in the admin" in page.content.decode()
    told()


def test_a_peer_that_is_away_is_said_to_be(
    boss: Client, organization: Organization, settings: Any, api: Client, told: Tell
) -> None:
    settings.EVENT_STREAM_TRACE = {"record": False, "peers": {"licensing": {"url": "http://127.0.0.1:1"}}}
    api.patch(
        url_of(organization),
        {"name": "New"},
        content_type="application/json",
        headers={user_context.CORRELATION_ID: "patched-1", user_context.USER_ID: "ann"},
    )

    trace = find_trace("patched-1")
    assert [service.service for service in trace.missing] == ["licensing"]
    assert not trace.is_complete
    text = boss.get(f"{TRACES}of/patched-1/").content.decode()
    assert "licensing can&#x27;t be asked: the connection failed" in text
    assert "by ann, correlation id patched-1" in text
    told()


def test_the_form_the_history_and_the_entry_lead_to_the_trace(
    boss: Client, organization: Organization, api: Client, told: Tell
) -> None:
    api.patch(
        url_of(organization),
        {"name": "New"},
        content_type="application/json",
        headers={user_context.CORRELATION_ID: "linked-1"},
    )
    entry = OutboxEntry.objects.get(correlation_id="linked-1")
    link = f'href="{TRACES}of/linked-1/"'

    form = f"/admin/organizations/organization/{organization.pk}"
    assert link in boss.get(f"{form}/change/").content.decode()
    assert link in boss.get(f"/admin/event_stream_outbox/outboxentry/{entry.pk}/change/").content.decode()
    history = boss.get(f"{form}/history/").content.decode()
    assert f'href="{TRACES}?key={organization.pk}"' in history
    found = boss.get(TRACES, {"key": str(organization.pk)}).content.decode()
    assert link in found
    assert boss.get(TRACES, {"id": "linked-1"}).headers["Location"] == f"{TRACES}of/linked-1/"
    why = boss.get(f"{TRACES}why/", {"key": str(organization.pk), "version": str(entry.version)}).content.decode()
    assert f"version {entry.version} was written at" in why
    told()


@pytest.mark.parametrize(("permission", "status"), [("view_trace", 200), ("view_handledbatch", 403)])
def test_staff_need_the_permission(django_user_model: Any, db: None, permission: str, status: int) -> None:
    user = django_user_model.objects.create_user("staff", is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename=permission))
    client = Client()
    client.force_login(user)

    for path in (TRACES, f"{TRACES}why/", f"{TRACES}of/some-id/"):
        assert client.get(path).status_code == status, path
    assert client.post(TRACES).status_code == 405


@pytest.mark.parametrize(
    ("query", "errors"),
    [
        ("span=nowhere", "span"),
        ("change=k", "change"),
        ("&".join(["span=t:1:2-3"] * 65), "span"),
        ("&".join(["change=k:1"] * 51), "change"),
    ],
)
def test_a_parameter_that_is_not_valid_is_a_problem(api: Client, db: None, query: str, errors: str) -> None:
    answer = api.get(f"/traces/some-id?{query}")

    assert (answer.status_code, answer.headers["Content-Type"]) == (400, "application/problem+json")
    assert {error["field"] for error in answer.json()["errors"]} == {errors}


def test_an_unknown_change_has_an_empty_part(api: Client, db: None) -> None:
    answer = api.get("/traces/never-seen").json()

    assert (answer["service"], answer["produced"]["total"], answer["consumed"]["groups"]) == ("organization", 0, [])
    assert api.get("/traces?key=never-seen").json() == {"changes": []}
    assert api.get("/traces").status_code == 400
