"""The user context of a request: what is taken, what is refused, and that it ends with the request."""

import logging
import uuid

import pytest
from django.test import Client
from pytest_django import Settings

from event_stream import user_context
from tests.event_stream import web_settings


@pytest.fixture(autouse=True)
def _service(settings: Settings) -> None:
    web_settings.apply(settings)


def test_the_callers_headers_are_current_in_the_view_and_the_id_comes_back(client: Client) -> None:
    sent = {
        "tmx-correlation-id": "order-17",
        "tmx-user-id": "u1",
        "tmx-org-id": "o1",
        "Authorization": "Bearer abc",
    }

    response = client.get("/context", headers=sent)

    seen = response.json()
    assert {name: seen[name] for name in sent} == sent
    assert response["tmx-correlation-id"] == "order-17"
    assert not response.has_header("tmx-correlation-id-replaced")


def test_the_name_that_the_books_licensing_service_sends_is_read_too(client: Client) -> None:
    assert client.get("/context", headers={"tmx-organization-id": "o1"}).json()["tmx-org-id"] == "o1"


def test_an_id_is_made_where_there_is_none_and_another_one_each_time(client: Client) -> None:
    first, second = (client.get("/context")["tmx-correlation-id"] for _ in range(2))

    assert uuid.UUID(first) != uuid.UUID(second)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("x" * 129, "longer than 128 characters"),
        ("a b", "holds characters that are not allowed"),
        ('a","level":"ERROR', "holds characters that are not allowed"),
        ("a,b", "holds characters that are not allowed"),
        ("é", "holds characters that are not allowed"),
    ],
)
def test_a_bad_id_is_replaced_and_that_is_said(
    client: Client, bad: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "service_kit"):
        response = client.get("/context", headers={"tmx-correlation-id": bad})

    assert uuid.UUID(response["tmx-correlation-id"])
    assert response.json()["tmx-correlation-id"] == response["tmx-correlation-id"]
    assert response["tmx-correlation-id-replaced"] == reason
    assert [(record.message, record.__dict__["reason"]) for record in caplog.records] == [
        ("correlation.replaced", reason)
    ]


@pytest.mark.parametrize("path", ["/context", "/plain/http404", "/plain/bug", "/nowhere", "/api/bug", "/health/live"])
def test_every_response_carries_the_id_and_nothing_stays_behind(client: Client, path: str) -> None:
    client.raise_request_exception = False

    assert client.get(path, headers={"tmx-correlation-id": "order-17"})["tmx-correlation-id"] == "order-17"
    assert user_context.current() is None
