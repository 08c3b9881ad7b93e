"""What the journal makes of a message, on a real database."""

from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.test import Client

from event_stream import Message, RejectedError, user_context
from event_stream.conf import configuration
from event_stream.inbox.idempotent import Idempotent
from journal.handlers import write_down
from journal.management.commands.consume_journal import BINDING
from journal.models import JournalEntry

pytestmark = pytest.mark.django_db(transaction=True)

ID = "1bcb5aa0-69a5-478e-9064-aca2d67601a6"
EVENT = {
    "type": "organization.OrganizationChangeModel",
    "action": "UPDATED",
    "organizationId": ID,
    "correlationId": "c-1",
    "version": 7,
    "eventId": "5e728e6e-eafe-5399-b182-049d39db56e9",
    "occurredAt": "2026-11-25T18:00:00.000001Z",
}
HEARTBEAT = {"type": "t", "action": "GET", "correlationId": "", "asOf": "2026-11-25T18:00:00.000001Z"}


def test_an_event_is_one_row_however_often_it_comes() -> None:
    handle = Idempotent(configuration().binding(BINDING), write_down)
    with user_context.use(user_context.UserContext(correlation_id="c-1", user_id="ann")):
        for _ in range(3):
            handle(Message(EVENT, key=ID))
    [entry] = JournalEntry.objects.all()
    assert (entry.action, str(entry.organization_id), entry.version) == ("UPDATED", ID, 7)
    assert (entry.event_id, entry.correlation_id, entry.user_id) == (EVENT["eventId"], "c-1", "ann")
    assert entry.occurred_at is not None
    assert entry.occurred_at.isoformat() == "2026-11-25T18:00:00.000001+00:00"


def test_a_four_key_message_of_a_foreign_producer_is_written_down() -> None:
    write_down(Message({"type": "t", "action": "SAVE", "organizationId": ID, "correlationId": None}))
    [entry] = JournalEntry.objects.all()
    assert (entry.action, entry.version, entry.event_id, entry.occurred_at) == ("SAVE", None, "", None)
    assert entry.correlation_id


def test_a_heartbeat_is_no_event() -> None:
    write_down(Message(HEARTBEAT))
    assert not JournalEntry.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"action": 7},
        {"action": "UPDATED"},
        {"action": "UPDATED", "organizationId": "x"},
        {**EVENT, "occurredAt": "soon"},
        {**EVENT, "version": "seven"},
        {**EVENT, "version": 2**63},
        {**EVENT, "correlationId": "x" * 129},
    ],
)
def test_what_can_be_no_event_is_refused_for_good(wrong: Any) -> None:
    with pytest.raises((RejectedError, ValidationError)):
        write_down(Message(wrong))
    assert not JournalEntry.objects.exists()


def test_the_admin_shows_it_and_lets_nobody_change_it(django_user_model: Any) -> None:
    write_down(Message(EVENT))
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("boss"))
    page = client.get("/admin/journal/journalentry/", {"q": ID})
    assert ID in page.text
    entry = JournalEntry.objects.get()
    assert client.post(f"/admin/journal/journalentry/{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/journal/journalentry/add/").status_code == 403
    assert JournalEntry.objects.exists()
