"""What PostgreSQL refuses is a problem, too."""

import logging

import pytest
from django.test import Client
from pytest_django import Settings

from tests.event_stream import web_settings
from tests.event_stream.problems import body_of


@pytest.fixture(autouse=True)
def _service(settings: Settings, client: Client) -> None:
    web_settings.apply(settings)
    client.raise_request_exception = False


@pytest.mark.django_db
def test_a_value_that_the_database_refuses_is_the_callers_fault(client: Client) -> None:
    body = body_of(client.get("/api/sql"))

    assert body["status"] == 400
    assert "99999" not in body["detail"]


@pytest.mark.django_db
def test_a_refusal_that_nobody_meant_is_logged_with_its_traceback(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "service_kit"):
        client.get("/api/sql")
        client.get("/api/layer-unavailable")
        client.get("/api/denied")
        client.get("/api/conflict")

    ours = [record for record in caplog.records if record.name == "service_kit"]
    assert [(record.message, bool(record.exc_info)) for record in ours] == [
        ("request.refused", True),
        ("request.refused", False),
    ]
