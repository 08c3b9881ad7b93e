"""An organization service that gives no versions, as the book's own in Java: looked up, cached, evicted, and said."""

import dataclasses
import io
import json
import logging
from typing import Any

import pytest
from django.test import Client

from devstack.waiting import wait_until
from event_stream.binders.memory import MemoryBinder
from event_stream.fenced_cache import CacheStatus, FreshnessRequirement, State
from organization_lookup import lookup
from service_kit.logging import EventJsonFormatter
from tests.licensing_project.organization_service import NASA, OrganizationService, as_java
from tests.licensing_project.test_doctor import doctor
from tests.licensing_project.test_worker import RECORDED, beat, consume, platform, send

__all__ = ["platform"]

# The worker renews its database connections, so they must not be in a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def java(organization_service: OrganizationService, tuned: Any) -> OrganizationService:
    """The book's service has NASA, and licensing knows that it gives no versions."""
    organization_service.behaviour = as_java(organization_service)
    tuned(versioned=False)
    return organization_service


def status() -> CacheStatus:
    return lookup.current().find(NASA, FreshnessRequirement()).source


def test_an_answer_is_cached_and_says_that_it_has_no_version(
    api: Client, license_url: str, java: OrganizationService
) -> None:
    miss, hit = api.get(license_url), api.get(license_url)
    assert (miss["Organization-Cache"], hit["Organization-Cache"]) == ("miss", "hit")
    assert miss.content == hit.content
    for answer in (miss, hit):
        assert answer["Organization-Unversioned"] == "?1"
        assert "Organization-Version" not in answer
        assert answer["Organization-Fresh-At"] == miss["Organization-Fresh-At"]
    assert len(java.requests) == 1


def test_a_versioned_answer_is_not_marked(api: Client, license_url: str) -> None:
    answer = api.get(license_url)
    assert "Organization-Version" in answer
    assert "Organization-Unversioned" not in answer


@pytest.mark.parametrize("message", RECORDED, ids=lambda message: json.loads(message["value"])["action"])
def test_its_four_keys_evict(java: OrganizationService, platform: MemoryBinder, message: dict[str, Any]) -> None:
    consume()
    assert (status(), status()) == (CacheStatus.MISS, CacheStatus.HIT)
    java.put(NASA, name="New")
    body = {**json.loads(message["value"]), "organizationId": NASA}
    send(platform, None, [(name, value.encode()) for name, value in message["headers"]], **body)
    consume()
    # Java announces its reads, too.
    assert status() is (CacheStatus.HIT if body["action"] == "GET" else CacheStatus.MISS)
    assert status() is CacheStatus.HIT


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize("version", [0, 1, 1_700_000_000_000_000])
def test_the_version_of_somebody_elses_message_keeps_nothing_in_and_nothing_out(
    platform: MemoryBinder, version: int
) -> None:
    assert status() is CacheStatus.MISS
    send(platform, NASA, action="UPDATED", organizationId=NASA, correlationId="c", version=version)
    consume()
    assert (status(), status()) == (CacheStatus.MISS, CacheStatus.HIT)


@pytest.mark.usefixtures("java")
def test_the_age_counts_from_the_call_whatever_a_heartbeat_says(platform: MemoryBinder, tuned: Any) -> None:
    tuned(versioned=False, max_staleness_s=0.3)
    consume()
    found = lookup.current().find(NASA, FreshnessRequirement())
    cache = lookup.current().cache
    beat(platform, cache.keys.partition_of(NASA), cache.clock.now_ms() + 250)
    consume()
    assert cache.read(NASA).fresh_at_ms == found.fresh_at_ms
    assert cache.watermark(cache.keys.partition_of(NASA)) is None
    assert wait_until(lambda: cache.read(NASA).state is State.STALE, within_s=10)


def test_a_change_without_a_message_is_read_after_the_maximum_staleness(
    api: Client, license_url: str, java: OrganizationService, tuned: Any
) -> None:
    tuned(versioned=False, max_staleness_s=0.3)
    before = api.get(license_url)
    java.put(NASA, name="New")
    assert wait_until(lambda: lookup.current().cache.read(NASA).state is State.STALE, within_s=10)
    answer = api.get(license_url, headers={"if-none-match": before["ETag"]})
    assert (answer.status_code, answer["Organization-Cache"]) == (200, "miss")
    assert answer["ETag"] != before["ETag"]
    assert api.get(license_url, headers={"if-none-match": answer["ETag"]}).status_code == 304


def test_an_answer_without_a_body_is_an_absence_and_a_creation_evicts_it(
    api: Client, license_url: str, java: OrganizationService, platform: MemoryBinder
) -> None:
    java.remove(NASA)
    for expected in ("miss", "hit"):
        answer = api.get(license_url)
        assert (answer.status_code, answer["Organization-Absent"]) == (200, "?1")
        assert (answer["Organization-Cache"], answer["Organization-Unversioned"]) == (expected, "?1")
    java.put(NASA)
    send(platform, None, action="SAVE", organizationId=NASA, correlationId=None)
    consume()
    assert "Organization-Absent" not in api.get(license_url)


@pytest.mark.usefixtures("java")
def test_a_least_version_can_not_be_met(api: Client, license_url: str) -> None:
    answer = api.get(license_url, headers={"organization-min-version": "0"})
    assert (answer.status_code, answer.json()["type"]) == (412, "/problems/version-not-reached")
    assert "gives no versions" in answer.json()["detail"]


@pytest.mark.usefixtures("java")
def test_the_doctor_misses_no_heartbeat(platform: MemoryBinder) -> None:
    findings = doctor()[1]
    assert (findings["organization service"]["level"], findings["watermarks"]["level"]) == ("ok", "ok")


def test_a_service_with_versions_and_one_without_share_no_key(settings: Any) -> None:
    options = settings.ORGANIZATION_LOOKUP
    without = lookup.make(dataclasses.replace(options, versioned=False), partitions=6)
    versioned = lookup.make(options, partitions=6)
    assert without.cache.keys.entry(NASA, 0) != versioned.cache.keys.entry(NASA, 0)
    assert without.cache.keys.watermark(0) != versioned.cache.keys.watermark(0)


def test_without_the_setting_the_log_says_why_each_lookup_is_refused(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    tuned(circuit_failures=3, attempts=1, circuit_reset_s=60)
    organization_service.behaviour = as_java(organization_service)
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(EventJsonFormatter())
    logger = logging.getLogger("organization_lookup.resilient_client")
    logger.addHandler(handler)
    try:
        assert {api.get(license_url).status_code for _ in range(5)} == {503}
    finally:
        logger.removeHandler(handler)
    lines = {
        line.get("cause", line["event"]): line["error"] for line in map(json.loads, stream.getvalue().splitlines())
    }
    assert lines.keys() == {
        "organization-service-unavailable",
        "organization_service.circuit",
        "organization-service-circuit-open",
    }
    assert all("ORGANIZATION_SERVICE_VERSIONS=none" in error for error in lines.values())
