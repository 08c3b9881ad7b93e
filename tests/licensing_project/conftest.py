"""The licensing service on real PostgreSQL and Valkey, with a stand-in for the organization service."""

import dataclasses
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django_redis import get_redis_connection

from licenses.models import License
from organization_lookup import lookup
from organization_lookup.settings import LookupSettings
from tests.licensing_project.organization_service import NASA, OrganizationService, running


@pytest.fixture
def organization_service(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrganizationService]:
    """It has NASA. The cache begins empty, under keys of this test's own."""
    redis = get_redis_connection()
    namespace = f"test-{uuid4().hex}-"
    with running() as service:
        service.put(NASA)
        use_lookup(monkeypatch, dataclasses.replace(settings.ORGANIZATION_LOOKUP, base_url=service.url), namespace)
        yield service
        lookup.current().client.close()
    for key in redis.scan_iter(match=f"{{{namespace}*", count=1000):
        redis.delete(key)


def use_lookup(monkeypatch: pytest.MonkeyPatch, options: LookupSettings, namespace: str) -> None:
    made = lookup.make(options, partitions=6, namespace=namespace)
    monkeypatch.setattr(lookup, "current", lambda: made)


@pytest.fixture
def tuned(settings: Any, organization_service: OrganizationService, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that starts again with other settings of the lookup, on the same keys."""

    def tune(**changes: Any) -> None:
        before = lookup.current()
        before.client.close()
        options = dataclasses.replace(settings.ORGANIZATION_LOOKUP, base_url=organization_service.url)
        use_lookup(monkeypatch, dataclasses.replace(options, **changes), before.cache.keys.namespace)

    return tune


@pytest.fixture
def license(db: None, organization_service: OrganizationService) -> License:
    """NASA's."""
    license = License.objects.create(
        organization_id=NASA,
        product_name="Ostock",
        license_type="complete",
        description='All "modules" \\ 모든 모듈 \N{ROCKET}',
        comment="one\ntwo",
    )
    license.refresh_from_db()
    return license


@pytest.fixture
def licenses_url() -> str:
    return f"/v1/organization/{NASA}/license"


@pytest.fixture
def license_url(license: License, licenses_url: str) -> str:
    return f"{licenses_url}/{license.license_id}"


@pytest.fixture
def api() -> Client:
    return Client(headers={"host": "localhost"})
