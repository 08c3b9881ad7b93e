"""A message is in the outbox if, and only if, the transaction of its change is committed."""

import uuid
from datetime import UTC, datetime

import pytest
from django.db import transaction
from django.db.transaction import TransactionManagementError

from event_stream import user_context
from event_stream.messaging.message import Message
from event_stream.outbox import emit, emit_many
from event_stream.outbox.api import Emission
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.selectors import last_version
from event_stream.process_name import process_name
from tests.event_stream.demo.models import BINDING, Widget

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_rolled_back_transaction_emits_nothing() -> None:
    class RegretError(Exception):
        pass

    with pytest.raises(RegretError), transaction.atomic():
        Widget.objects.create(id="a")
        Widget.objects.bulk_create([Widget(id="b")])
        raise RegretError
    assert not OutboxEntry.objects.exists()


def test_a_rolled_back_savepoint_takes_its_messages_with_it() -> None:
    with transaction.atomic():
        Widget.objects.create(id="kept")
        savepoint = transaction.savepoint()
        Widget.objects.create(id="lost")
        Widget.objects.bulk_create([Widget(id="lost too")])
        transaction.savepoint_rollback(savepoint)
    assert list(OutboxEntry.objects.values_list("key", flat=True)) == ["kept"]


def test_outside_of_a_transaction_it_is_refused() -> None:
    with pytest.raises(TransactionManagementError, match=r"transaction\.atomic"):
        emit(BINDING, Message({}), version=None)
    assert not OutboxEntry.objects.exists()


def test_an_entry_carries_the_user_context_but_no_credentials() -> None:
    context = user_context.UserContext("trace-1", user_id="u1", organization_id="o1", authorization="Bearer secret")
    with user_context.use(context), transaction.atomic():
        emit(BINDING, Message({"n": 1}, key="k", headers={"own": "header"}), version=7)
    entry = OutboxEntry.objects.get()
    assert (entry.correlation_id, entry.key, entry.version) == ("trace-1", "k", 7)
    assert entry.headers == {"tmx-user-id": "u1", "tmx-org-id": "o1", "own": "header"}
    assert (entry.requested_at, entry.written_by) == (context.began_at, process_name())


def test_an_entry_that_no_request_wrote_has_no_time_of_one() -> None:
    with transaction.atomic():
        emit(BINDING, Message({"n": 1}), version=None)
    entry = OutboxEntry.objects.get()
    assert (entry.requested_at, entry.written_by) == (None, process_name())


def test_the_correlation_id_of_the_message_itself_comes_first() -> None:
    headers = {user_context.CORRELATION_ID: "its own"}
    with user_context.use(user_context.UserContext("the request's")), transaction.atomic():
        emit(BINDING, Message({}, headers=headers), version=None)
    entry = OutboxEntry.objects.get()
    assert (entry.correlation_id, entry.headers) == ("its own", {})


def test_payloads_may_hold_what_django_can_write_as_json() -> None:
    event_id = uuid.uuid4()
    with transaction.atomic():
        payload = {"id": event_id, "at": datetime(2026, 1, 2, tzinfo=UTC)}
        returned = emit(BINDING, Message(payload), version=None, event_id=event_id)
    entry = OutboxEntry.objects.get()
    assert entry.payload == {"id": str(event_id), "at": "2026-01-02T00:00:00Z"}
    assert (entry.event_id, entry.pk) == (event_id, returned.pk)


def test_many_are_kept_in_the_order_given() -> None:
    with transaction.atomic():
        emit_many(BINDING, (Emission(Message({"n": n}, key="k"), version=n) for n in range(2_500)))
    assert list(OutboxEntry.objects.order_by("id").values_list("version", flat=True)) == list(range(2_500))


def test_the_last_version_of_a_key() -> None:
    assert last_version(BINDING, "a") is None
    widget = Widget.objects.create(id="a")
    assert last_version(BINDING, "a") == widget.version
    widget.delete()
    assert last_version(BINDING, "a") == widget.version + 1
