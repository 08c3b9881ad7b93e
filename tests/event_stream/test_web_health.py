"""Health: the process alone, and the process with what it cannot serve without."""

import logging

import pytest
from django.db.utils import ConnectionHandler
from django.test import Client
from pytest_django import Settings

from devstack.ports import free_port
from service_kit import health
from tests.event_stream import web_settings


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> None:
    web_settings.apply(settings)


def test_live_asks_nobody(client: Client) -> None:
    """Without the django_db mark, a query would fail the test."""
    response = client.get("/health/live")

    assert (response.status_code, response.json()) == (200, {"status": "UP"})
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.django_db
def test_ready_with_a_database(client: Client) -> None:
    response = client.get("/health/ready")

    assert (response.status_code, response.json()) == (200, {"status": "UP", "checks": {"database": "UP"}})
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
    assert responses[0].json() == {"status": "DOWN", "checks": {"database": "DOWN"}}
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
    assert (response.status_code, response.json()) == (503, {"status": "DOWN", "checks": {"schema": "DOWN"}})


def test_a_check_that_can_not_tell_is_neither_up_nor_down(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})

    def cache() -> None:
        raise health.NotChecked("the cache is away")

    health.register("cache", cache)
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "UP", "checks": {"cache": "UNKNOWN"}})


def test_a_check_may_say_why_to_whoever_asks(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_checks", {})

    def settings() -> None:
        raise health.NotReady("they differ")

    health.register("settings", settings)
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (
        503,
        {"status": "DOWN", "checks": {"settings": "DOWN"}, "details": {"settings": "they differ"}},
    )
