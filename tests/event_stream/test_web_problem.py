"""What PostgreSQL refuses is a problem, too."""

import json
import logging
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from service_kit.problem_details import MEDIA_TYPE
from tests.event_stream import web_settings


@pytest.fixture(autouse=True)
def _service(settings: Settings, client: Client) -> None:
    web_settings.apply(settings)
    client.raise_request_exception = False


def body_of(response: Any) -> dict[str, Any]:
    assert response["Content-Type"] == MEDIA_TYPE
    body: dict[str, Any] = json.loads(response.content)
    assert body["status"] == response.status_code
    assert body["correlationId"] == response["tmx-correlation-id"]
    assert body["instance"] == response.request["PATH_INFO"]
    assert isinstance(body["title"], str)
    assert isinstance(body["detail"], str)
    return body


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
