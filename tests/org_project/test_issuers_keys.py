"""An AUTH_JWKS_URL that leads nowhere, or to keys that are of no use: readiness and the doctor say it."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.test import Client

from service_kit import doctor, health
from service_kit.auth import AuthSettings
from tests.security.issuer import AUDIENCE, Issuer, running

pytestmark = pytest.mark.django_db
READY = "/health/ready"
SUBJECT = "issuer's keys"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running() as issuer:
        yield issuer


@pytest.fixture
def trusting(settings: Any, monkeypatch: pytest.MonkeyPatch, issuer: Issuer) -> Any:
    """Have the service started with this issuer; options replace its settings."""

    def start(**options: Any) -> None:
        given = {"issuer": issuer.url, "audience": AUDIENCE, "jwks_url": issuer.jwks_url, **options}
        settings.AUTH = AuthSettings(**given)
        monkeypatch.setattr(health, "_checks", dict(health._checks))
        apps.get_app_config("service_kit").ready()

    return start


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/keys", "file:///nowhere/keys.json"])
def test_keys_that_are_nowhere_are_said_and_cost_no_readiness(trusting: Any, django_user_model: Any, url: str) -> None:
    trusting(jwks_url=url)
    answer = Client().get(READY)
    assert (answer.status_code, answer.json()["status"]) == (200, "DEGRADED")
    assert answer.json()["checks"][SUBJECT] == "DEGRADED"
    assert "details" not in answer.json()
    staff = Client()
    staff.force_login(django_user_model.objects.create_user("somebody", is_staff=True))
    assert "AUTH_JWKS_URL should lead to it" in staff.get(READY).json()["details"][SUBJECT]
    [finding] = doctor.issuers_keys()
    assert (finding.level, finding.subject) == ("failed", SUBJECT)
    assert finding.text.startswith(f"{url} can't be read: ")
    assert "AUTH_JWKS_URL" in finding.remedy


def test_once_the_keys_are_known_an_issuer_may_be_away(trusting: Any, issuer: Issuer) -> None:
    trusting()
    assert Client().get(READY).json()["checks"][SUBJECT] == "UP"
    issuer.down = True
    assert Client().get(READY).json()["checks"][SUBJECT] == "UP"
    [finding] = doctor.issuers_keys()
    assert (finding.level, "status 503" in finding.text) == ("failed", True)


def test_keys_for_other_algorithms_than_the_setting_allows(trusting: Any, issuer: Issuer) -> None:
    trusting(jwks_url=f"{issuer.jwks_url}?token=hush")
    [finding] = doctor.issuers_keys()
    assert (finding.level, finding.text) == ("ok", f"{issuer.jwks_url} has 1, for RS256")
    trusting(algorithms=("ES256",))
    [finding] = doctor.issuers_keys()
    assert (finding.level, "AUTH_ALGORITHMS" in finding.remedy) == ("warning", True)


def test_an_open_service_has_no_issuer(settings: Any) -> None:
    settings.AUTH = None
    assert list(doctor.issuers_keys()) == []
