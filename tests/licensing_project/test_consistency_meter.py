"""`manage.py cache_audit --meter`, on the binder in memory, and its page."""

import json
import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from event_stream import ProducerRecord
from event_stream.binders.memory import MemoryBinder
from event_stream.fenced_cache import FreshnessRequirement
from event_stream.messaging.channel import registry
from event_stream.operations import reporting, series
from organization_lookup import lookup
from tests.licensing_project.organization_service import NASA, OrganizationService

# The process reports on a thread of its own, which sees no transaction of a test.
pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/event_stream_operations/operations/consistency/"
TOPIC = "orgChangeTopic"


@pytest.fixture
def binder(
    settings: Any, organization_service: OrganizationService, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MemoryBinder]:
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": {"type": "memory"}}}
    settings.EVENT_STREAM_OPERATIONS = {"status_interval_s": 0.05, "sample_interval_s": 0.5}
    monkeypatch.setattr(reporting, "_reporter", None)
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    yield binder
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    registry().close()


def change(binder: MemoryBinder, version: int) -> None:
    moment = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    body = {"action": "UPDATED", "organizationId": NASA, "correlationId": "c", "version": version, "occurredAt": moment}
    binder.append(ProducerRecord(TOPIC, NASA.encode(), json.dumps(body).encode()))


def total(name: str) -> float:
    return series.total(f"consistency.{name}", timezone.now() - timedelta(hours=1))


def boss() -> Client:
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser(f"boss{User.objects.count()}"))
    return client


def measure() -> None:
    call_command("cache_audit", "--meter", "--duration", "3", "--changes-per-second", "1e9")


def test_changes_are_read_as_requests_read_them_and_recorded(
    binder: MemoryBinder, organization_service: OrganizationService
) -> None:
    """No worker evicts here, so what is cached stays stale for the whole of the maximum."""
    client = boss()
    assert "Nobody measures now." in client.get(PAGE).content.decode()
    old = organization_service.put(NASA)
    lookup.current().find(NASA, FreshnessRequirement())
    newer = organization_service.put(NASA)
    later = threading.Timer(0.5, change, (binder, newer))
    later.start()
    measure()
    later.join()
    assert old < newer
    assert (total("checked.0"), total("stale.0")) == (1, 1)
    assert total("checked.1") + total("late.1") >= 1
    page = client.get(PAGE).content.decode()
    assert "at once" in page
    assert ">1<" in page.partition("at once")[2]


def test_consistent_reads_prove_nines(binder: MemoryBinder, organization_service: OrganizationService) -> None:
    version = organization_service.put(NASA)
    for _ in range(40):
        change(binder, version)
    measure()
    assert (total("checked.0"), total("stale.0")) == (40, 0)
    page = boss().get(PAGE).content.decode()
    assert "92.7" in page, "of 40 clean reads: 1 - 0.05 ** (1 / 40)"


def test_a_meter_goes_on_until_it_is_stopped() -> None:
    for option in ("--sweep", "--until-caught-up"):
        with pytest.raises(CommandError, match="goes on until it is stopped"):
            call_command("cache_audit", "--meter", option)
