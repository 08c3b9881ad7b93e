"""Health: the process alone, and the process with what it cannot serve without."""

import logging
from collections.abc import Iterator

import pytest
from django.contrib.auth import get_user_model
from django.db.utils import ConnectionHandler, OperationalError
from django.test import Client
from pytest_django import Settings

from devstack.ports import free_port
from event_stream.errors import RefusedError
from service_kit import health
from service_kit.auth import AuthSettings
from service_kit.settings import refresh_scope
from tests.event_stream import web_settings
from tests.security.issuer import AUDIENCE, Issuer, running


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> None:
    web_settings.apply(settings)


def configuration() -> dict[str, object]:
    """What those who may see details are told of it."""
    return {"configuration": refresh_scope.state().as_dict()}


def test_live_asks_nobody(client: Client) -> None:
    """Without the django_db mark, a query would fail the test."""
    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "UP"})
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.django_db
def test_ready_with_a_database(client: Client) -> None:
    response = client.get("/health/ready")

    answer = {"status": "UP", "checks": {"database": "UP"}, **configuration()}
    assert (response.status_code, response.json()) == (200, answer)
    assert client.head("/health/ready").status_code == 200
    assert client.post("/health/ready").status_code == 405


@pytest.mark.django_db
def test_not_ready_without_one_which_is_logged_once_an_outage(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    nobody = {"ENGINE": "django.db.backends.postgresql", "NAME": "x", "HOST": "127.0.0.1", "PORT": str(free_port())}
    with monkeypatch.context() as patched, caplog.at_level(logging.INFO, "service_kit"):
        patched.setattr(health, "connection", ConnectionHandler({"default": nobody})["default"])
        responses = [client.get("/health/ready") for _ in range(3)]
        patched.setitem(health._checks, "database", lambda: None)
        recovered = client.get("/health/ready")

    assert [response.status_code for response in responses] == [503] * 3
    assert responses[0].json().items() >= {"status": "DOWN", "checks": {"database": "DOWN"}}.items()
    assert recovered.status_code == 200
    ours = [record for record in caplog.records if record.name == "service_kit"]
    assert [record.message for record in ours] == ["health.down", "health.up"]
    assert "refused" in ours[0].__dict__["error"]


def test_a_service_adds_a_check_of_its_own(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})

    def schema() -> None:
        raise RuntimeError("tables are missing")

    health.register("schema", schema)

    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json() == {
        "status": "DOWN",
        "checks": {"schema": "DOWN"},
        "details": {"schema": "tables are missing"},
        **configuration(),
    }


def test_a_check_that_can_not_tell_is_neither_up_nor_down(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})

    def cache() -> None:
        raise health.NotChecked("the cache is away")

    health.register("cache", cache)
    response = client.get("/health/ready")
    assert response.status_code == 200
    assert response.json() == {
        "status": "UP",
        "checks": {"cache": "UNKNOWN"},
        "details": {"cache": "the cache is away"},
        **configuration(),
    }


def test_less_well_is_said_and_costs_no_readiness(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})

    def freshness() -> None:
        raise health.Degraded("2 of 6 partitions are late")

    health.register("freshness", freshness)
    response = client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "DEGRADED")

    def refused() -> None:
        raise RefusedError("the database is read-only")

    health.register("database", refused)
    assert client.get("/health/ready").json()["status"] == "READ_ONLY"


@pytest.fixture
def differing(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What is answered of a check that fails, without details."""

    def check() -> None:
        raise health.NotReady("they differ at postgresql://app:hunter2@db:5432")  # pragma: allowlist secret

    monkeypatch.setattr(health, "_checks", {})
    health.register("settings", check)
    return {"status": "DOWN", "checks": {"settings": "DOWN"}}


def details() -> dict[str, object]:
    return {"details": {"settings": "they differ at postgresql://app:[redacted]@db:5432"}, **configuration()}


@pytest.fixture
def issuer(settings: Settings) -> Iterator[Issuer]:
    """Of an API that asks for tokens, and has sessions."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.sessions"]
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ]
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    with running() as issuer:
        settings.AUTH = AuthSettings(issuer.url, AUDIENCE, issuer.jwks_url)
        yield issuer


def test_an_open_api_says_why_to_everybody(client: Client, differing: dict[str, object]) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (503, differing | details())


@pytest.mark.django_db
def test_why_a_check_fails_is_for_the_staff_and_for_bearers_of_a_token(
    client: Client, differing: dict[str, object], issuer: Issuer
) -> None:
    forged = {"Authorization": "Bearer a.b.c"}
    valid = {"Authorization": f"Bearer {issuer.token('USER')}"}
    assert client.get("/health/ready").json() == differing
    assert client.get("/health/ready", headers=forged).json() == differing
    assert client.get("/health/ready", headers=valid).json() == differing | details()
    client.force_login(get_user_model().objects.create_user("ann"))
    assert client.get("/health/ready").json() == differing
    client.force_login(get_user_model().objects.create_user("staff", is_staff=True))
    assert client.get("/health/ready").json() == differing | details()


@pytest.mark.usefixtures("issuer")
def test_a_session_that_can_not_be_looked_up_is_nobodys(
    client: Client, differing: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the database away the probe is still answered."""

    def away(_request: object) -> None:
        raise OperationalError("no route to host")

    monkeypatch.setattr("django.contrib.auth.middleware.get_user", away)
    client.cookies["sessionid"] = "anything"
    assert client.get("/health/ready").json() == differing
