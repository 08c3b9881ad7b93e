"""The organization service's operations pages: what they say of the outbox and of relays is true."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from event_stream import user_context
from event_stream.operations import counts, outbox, reporting, series
from event_stream.operations.models import Process, Sample
from event_stream.operations.outbox import ParkedFilter
from event_stream.outbox.models import OutboxEntry
from event_stream.outbox.relay import Relay
from organizations.models import Organization

# Relays report on a thread of their own, which sees no transaction of a test.
pytestmark = pytest.mark.django_db(transaction=True)
BINDING = "outboundOrgChanges"
OVERVIEW = "/admin/event_stream_operations/operations/"
OUTBOX = f"{OVERVIEW}outbox/"
TOO_LARGE, NOT_ALLOWED = "MessageSizeTooLargeError: 2 MiB", "TopicAuthorizationFailedError: orgChangeTopic"


def person(*permissions: str) -> Client:
    user = User.objects.create_user(f"person{User.objects.count()}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    return client


@pytest.fixture
def operator() -> Client:
    return person("view_operations", "change_outboxentry", "view_outboxentry")


def entry(number: int, *, age_s: float = 0.0, error: str = "", published_s: float | None = None) -> OutboxEntry:
    now = timezone.now()
    written = OutboxEntry.objects.create(
        binding=BINDING,
        key=f"key-{number}",
        payload={},
        version=number,
        correlation_id=f"c-{number}",
        parked_at=now if error else None,
        error=error,
        published_at=None if published_s is None else now - timedelta(seconds=published_s),
    )
    OutboxEntry.objects.filter(pk=written.pk).update(written_at=now - timedelta(seconds=age_s))
    return written


@pytest.fixture
def parked() -> list[OutboxEntry]:
    errors = [TOO_LARGE] * 3 + [NOT_ALLOWED] * 2
    return [entry(number, error=error) for number, error in enumerate(errors)]


def still_parked() -> list[str]:
    return sorted(OutboxEntry.objects.filter(parked_at__isnull=False).values_list("error", flat=True))


def test_the_figures_are_those_of_the_table(parked: list[OutboxEntry]) -> None:
    for number, age_s in enumerate((5, 90, 30), 10):
        entry(number, age_s=age_s)
    for number, published_s in enumerate((1, 2, 30, 61, 600), 20):
        entry(number, published_s=published_s)
    waiting = outbox.waiting()
    assert (waiting.count.number, waiting.count.more) == (3, False)
    assert 90 <= waiting.age_s < 100
    assert outbox.parked_count().number == len(parked)
    assert outbox.published_per_s() == pytest.approx(3 / 60)
    groups = outbox.parked_groups(ParkedFilter())
    assert [(group.error, group.count) for group in groups] == [(TOO_LARGE, 3), (NOT_ALLOWED, 2)]
    assert groups[0].first_at == min(each.parked_at for each in parked[:3] if each.parked_at)
    assert groups[0].last_at == max(each.parked_at for each in parked[:3] if each.parked_at)


def test_a_page_that_a_service_has_no_use_for_is_not_linked_and_says_so(operator: Client) -> None:
    assert "Bindings and workers" not in operator.get(OVERVIEW).content.decode()
    assert "This service reads no messages." in operator.get(f"{OVERVIEW}workers/").content.decode()


def test_an_empty_outbox_has_no_figures(operator: Client) -> None:
    assert (str(outbox.waiting().count), outbox.waiting().oldest_at) == ("0", None)
    page = operator.get(OUTBOX).content.decode()
    assert "No relay leads" in page
    assert "None." in page


def test_counts_are_capped_and_say_so(parked: list[OutboxEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    entries = OutboxEntry.objects.all()
    assert str(counts.capped(entries, cap=5)) == "5"
    assert str(counts.capped(entries, cap=4)) == "4+"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        counts.capped(entries, cap=4)
    assert "LIMIT 5" in queries[0]["sql"]


def test_only_the_latest_parked_entries_are_grouped_and_the_page_says_so(
    operator: Client, parked: list[OutboxEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "GROUPED", 3)
    assert sum(group.count for group in outbox.parked_groups(ParkedFilter())) == 3
    assert "(of the latest 3)" in operator.get(OUTBOX).content.decode()


@pytest.mark.parametrize(
    ("form", "left", "told"),
    [
        ({"error": TOO_LARGE, "binding": BINDING}, [NOT_ALLOWED] * 2, "Of 3 parked entries that matched, 3"),
        ({"q": "authorization"}, [TOO_LARGE] * 3, "Of 2 parked entries that matched, 2"),
        ({}, [], "Of 5 parked entries that matched, 5"),
    ],
)
def test_parked_entries_are_sent_again_by_group_by_filter_or_all(
    operator: Client, parked: list[OutboxEntry], form: dict[str, str], left: list[str], told: str
) -> None:
    answer = operator.post(OUTBOX, {"action": "send", **form}, follow=True)
    assert told in answer.content.decode()
    assert still_parked() == sorted(left)
    logged = LogEntry.objects.get()
    assert logged.change_message == f"Sent again: {5 - len(left)} parked entries."


def test_one_parked_entry_is_sent_again(operator: Client, parked: list[OutboxEntry]) -> None:
    operator.post(OUTBOX, {"action": "send", "id": str(parked[1].pk)})
    parked[1].refresh_from_db()
    assert (parked[1].parked_at, parked[1].error) == (None, "")
    assert len(still_parked()) == 4
    page = operator.post(OUTBOX, {"action": "send", "id": str(parked[1].pk)}, follow=True).content.decode()
    assert "No parked entry matches any longer." in page
    assert "is a whole number" in operator.post(OUTBOX, {"action": "send", "id": "x"}, follow=True).content.decode()


def test_more_than_a_batch_is_sent_again(
    operator: Client, parked: list[OutboxEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_BATCH", 2)
    assert "5 are to be sent again" in operator.post(OUTBOX, {"action": "send"}, follow=True).content.decode()
    assert still_parked() == []


def test_the_page_filters_and_shows_each_group(operator: Client, parked: list[OutboxEntry]) -> None:
    page = operator.get(OUTBOX).content.decode()
    assert "Send all 5 again" in page
    assert TOO_LARGE in page
    filtered = operator.get(OUTBOX, {"q": "topicauth", "binding": BINDING}).content.decode()
    assert "Send all 2 again" in filtered
    assert TOO_LARGE not in filtered
    assert operator.get(OUTBOX, {"q": "nothing \0 of it"}).status_code == 200


def test_readers_send_nothing_again(parked: list[OutboxEntry]) -> None:
    reader = person("view_operations")
    page = reader.get(OUTBOX).content.decode()
    assert TOO_LARGE in page
    assert 'value="send"' not in page
    # To pause a worker is another matter than to send.
    for client in (reader, person("view_operations", "operate")):
        assert client.post(OUTBOX, {"action": "send"}).status_code == 403
    assert len(still_parked()) == 5


@pytest.fixture
def relay(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relay]:
    """One that sends to memory, and reports as fast as it can."""
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": {"type": "memory"}}}
    settings.EVENT_STREAM_OPERATIONS = {"status_interval_s": 0.02, "sample_interval_s": 0.5}
    monkeypatch.setattr(reporting, "_reporter", None)
    yield Relay(until_drained=True)
    reporting.reporter().end_all()


def test_a_relay_writes_what_is_true_of_it(relay: Relay, operator: Client) -> None:
    with user_context.use(user_context.current_or_new()):
        for number in range(7):
            Organization.objects.create(name=f"O{number}", contact_name="", contact_email="", contact_phone="")
    began = timezone.now() - timedelta(minutes=1)
    relay.run()
    reporting.reporter().end_all()
    process = Process.objects.get(kind="relay")
    assert process.state["published"] == 7
    assert process.stopped_at is not None
    assert series.total("outbox.published", began) == 7
    assert not Sample.objects.filter(series="outbox.waiting", value__gt=7).exists()
    assert ">stopped<" in operator.get(OVERVIEW).content.decode()
