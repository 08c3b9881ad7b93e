"""What an answer says of its organization's freshness, and what a request may demand of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA, OrganizationService, answering

pytestmark = pytest.mark.django_db


def test_an_answer_says_how_its_organization_was_found_and_how_fresh_it_is(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    miss, hit = api.get(license_url), api.get(license_url)
    assert (miss["Organization-Cache"], hit["Organization-Cache"]) == ("miss", "hit")
    assert miss.content == hit.content
    for answer in (miss, hit):
        assert answer["Organization-Version"] == str(organization_service.version)
        assert answer["Organization-Fresh-At"].endswith("Z")
        assert before <= datetime.fromisoformat(answer["Organization-Fresh-At"]) <= datetime.now(UTC)
        assert 0 <= int(answer["Age"]) <= 10
        assert answer["Cache-Control"] == "private, max-age=10, must-revalidate"
        assert {"Accept", "Accept-Language", "Authorization"} <= {each.strip() for each in answer["Vary"].split(",")}
    assert len(organization_service.requests) == 1


@pytest.mark.parametrize(
    "demand", ["no-cache", "No-Cache, max-age=600", "max-age=0, x", "min-fresh=10", "min-fresh=11"]
)
def test_a_demand_that_the_cache_can_not_meet_asks_anew(
    api: Client, license_url: str, organization_service: OrganizationService, demand: str
) -> None:
    api.get(license_url)
    organization_service.put(NASA, name="New name")
    # The cached one is a few milliseconds old by now: more than max-age=0 and min-fresh=10 of 10 allow.
    answer = api.get(license_url, headers={"cache-control": demand})
    assert answer.json()["organizationName"] == "New name"


@pytest.mark.parametrize(
    "demand", ["max-age=600", "min-fresh=1", "max-age=x", "no-store=\x7f", "=", ",", 'max-age="9"']
)
def test_a_demand_that_is_met_or_no_demand_at_all_is_a_hit(api: Client, license_url: str, demand: str) -> None:
    api.get(license_url)
    assert api.get(license_url, headers={"cache-control": demand})["Organization-Cache"] == "hit"


def test_a_client_reads_its_own_write(api: Client, license_url: str, organization_service: OrganizationService) -> None:
    api.get(license_url)
    version = organization_service.put(NASA, name="Mine")
    answer = api.get(license_url, headers={"organization-min-version": str(version)})
    assert (answer.json()["organizationName"], answer["Organization-Version"]) == ("Mine", str(version))
    assert api.get(license_url)["Organization-Cache"] == "hit"


@pytest.mark.parametrize("version", ["x", "-1", "1.0", "", "9" * 19, "1,2"])
def test_a_version_that_is_none_is_refused(api: Client, license_url: str, version: str) -> None:
    answer = api.get(license_url, headers={"organization-min-version": version})
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert "Organization-Min-Version" in answer.json()["detail"]


def test_a_version_that_has_not_been_reached_is_never_answered_with_an_older_one(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    answer = api.get(license_url, headers={"organization-min-version": str(organization_service.version + 1)})
    assert (answer.status_code, answer.json()["type"]) == (412, "/problems/version-not-reached")


def test_the_last_known_organization_is_served_with_a_warning_while_its_service_is_away(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    known = api.get(license_url).json()
    tuned(base_url="http://127.0.0.1:1", max_staleness_s=0.001)
    answer = api.get(license_url)
    assert (answer.status_code, answer.json()) == (200, known)
    assert answer["Organization-Cache"] == "stale"
    assert answer["Warning"] == '110 - "Response is Stale"'


def test_without_a_last_known_organization_it_is_503(
    api: Client, license: License, license_url: str, licenses_url: str, tuned: Any
) -> None:
    tuned(base_url="http://127.0.0.1:1")
    for url in (license_url, licenses_url):
        answer = api.get(url)
        assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
        assert int(answer["Retry-After"]) >= 1
    new = api.post(licenses_url, {"productName": "P", "licenseType": "T"}, content_type="application/json")
    assert new.status_code == 503
    assert License.objects.count() == 1


@pytest.mark.parametrize(("status", "challenge"), [(401, 'Bearer realm="x"'), (403, None)])
def test_a_refusal_is_handed_on_and_not_kept(
    api: Client,
    license_url: str,
    organization_service: OrganizationService,
    status: int,
    challenge: str | None,
) -> None:
    organization_service.behaviour = answering(status, b"no", {"WWW-Authenticate": challenge} if challenge else {})
    for _ in range(10):
        answer = api.get(license_url, headers={"authorization": "Bearer mine"})
        assert (answer.status_code, answer.get("WWW-Authenticate")) == (status, challenge)
    organization_service.behaviour = None
    assert api.get(license_url).status_code == 200


def test_the_user_context_is_sent_on(api: Client, license_url: str, organization_service: OrganizationService) -> None:
    sent = {"tmx-correlation-id": "abc", "tmx-user-id": "u", "tmx-org-id": "o", "authorization": "Bearer t"}
    answer = api.get(license_url, headers=sent)
    assert answer["tmx-correlation-id"] == "abc"
    _, received = organization_service.requests[0]
    assert sent.items() <= received.items()
