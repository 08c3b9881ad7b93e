"""What the tests of the organization service share. They need DATABASE_URL: ./manage_scripts/test starts a server."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from jsonschema import Draft202012Validator

from event_stream.outbox.models import OutboxEntry
from organizations.models import Organization

SCHEMA = Path(settings.BASE_DIR) / "organizations" / "schema" / "organization_change.v1.json"


@dataclass(frozen=True, slots=True)
class Told:
    """An event, as far as most tests care."""

    action: str
    key: str
    version: int | None
    by_trigger: bool = False


@pytest.fixture(scope="session")
def event_schema() -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.fixture
def told(transactional_db: None, event_schema: Draft202012Validator) -> Callable[[], list[Told]]:
    """The events since the last call, in order, each checked against the schema and against its own columns."""

    def take() -> list[Told]:
        entries = list(OutboxEntry.objects.order_by("id"))
        for entry in entries:
            event_schema.validate(entry.payload)
            assert entry.payload["organizationId"] == entry.key
            assert entry.payload["correlationId"] == entry.correlation_id
            assert entry.payload["eventId"] == str(entry.event_id)
            if entry.version is not None:
                assert entry.payload["version"] == entry.version
        OutboxEntry.objects.all().delete()
        return [Told(entry.payload["action"], entry.key, entry.version, entry.by_trigger) for entry in entries]

    return take


@pytest.fixture
def organization(told: Callable[[], list[Told]]) -> Organization:
    """One that is there, its creation told already."""
    made = Organization.objects.create(
        name="Observatory",
        contact_name="Registry Office",
        contact_email="office@example.org",
        contact_phone="+1 202 555 0100",
    )
    told()
    return made


@pytest.fixture
def api() -> Client:
    return Client()


def url_of(organization: Any) -> str:
    return f"/v1/organization/{getattr(organization, 'pk', organization)}"


@pytest.fixture
def boss(django_user_model: Any, transactional_db: None) -> Iterator[Client]:
    """A browser in which a superuser has logged in."""
    client = Client()
    client.force_login(django_user_model.objects.create_superuser("boss"))
    yield client
