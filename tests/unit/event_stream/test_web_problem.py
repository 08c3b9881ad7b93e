"""Every error is a problem, in one shape, whoever noticed it, and says nothing it shouldn't."""

import json
import logging

import pytest
from django.test import Client
from pytest_django import Settings

from tests.event_stream import web_settings
from tests.event_stream.problems import body_of

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(autouse=True)
def _service(settings: Settings, client: Client) -> None:
    web_settings.apply(settings)
    client.raise_request_exception = False


@pytest.mark.parametrize("accept", ["application/json", "application/hal+json", "*/*", None])
def test_the_media_type_is_that_of_problems_whatever_json_was_asked_for(client: Client, accept: str | None) -> None:
    response = client.get("/api/http404", headers={"Accept": accept} if accept else {})

    assert body_of(response) == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "Not found.",
        "instance": "/api/http404",
        "correlationId": response["tmx-correlation-id"],
    }
    assert response["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("kind", "status", "slug"),
    [
        ("http404", 404, "not-found"),
        ("suspicious", 400, "bad-request"),
        ("host", 400, "bad-request"),
        ("utf8", 400, "bad-request"),
        ("too-big", 413, "content-too-large"),
        ("django-validation", 400, "validation"),
        ("unauthenticated", 401, "unauthenticated"),
        ("throttled", 429, "too-many-requests"),
        ("denied", 403, "forbidden"),
        ("unavailable", 503, "unavailable"),
        ("layer-unavailable", 503, "unavailable"),
        ("bug", 500, "internal"),
    ],
)
def test_each_kind_of_failure_has_its_status_and_type(client: Client, kind: str, status: int, slug: str) -> None:
    response = client.get(f"/api/{kind}")

    assert response.status_code == status
    assert body_of(response)["type"] == f"/problems/{slug}"
    assert b"secret" not in response.content
    assert b"hunter2" not in response.content


def test_headers_say_what_to_do_next(client: Client) -> None:
    assert client.get("/api/throttled")["Retry-After"] == "3"
    assert client.get("/api/unavailable")["Retry-After"] == "1"
    assert client.get("/api/layer-unavailable")["Retry-After"] == "5"
    assert client.get("/api/unauthenticated")["WWW-Authenticate"] == 'Basic realm="api"'
    assert client.delete("/api/http404")["Allow"] == "GET, HEAD, OPTIONS"


def test_a_problem_says_all_it_was_given(client: Client) -> None:
    response = client.get("/api/conflict")

    body = body_of(response)
    assert (body["type"], body["title"], body["detail"], body["by"]) == (
        "/problems/taken",
        "Conflict",
        "Taken.",
        "somebody",
    )
    assert response["X-More"] == "yes"
    assert body_of(client.get("/api/teapot"))["type"] == "about:blank"


def test_errors_name_the_fields_as_they_were_sent(client: Client) -> None:
    sent = {"contactName": "much too long", "contacts": [{"email": "a@example.org"}, {"email": "no"}, {}]}

    body = body_of(client.post("/companies", sent, content_type="application/json"))

    assert body["type"] == "/problems/validation"
    assert body["errors"] == [
        {"field": "contactName", "message": "Ensure this field has no more than 5 characters."},
        {"field": "contacts.1.email", "message": "Enter a valid email address."},
        {"field": "contacts.2.email", "message": "This field is required."},
    ]


def test_an_error_of_the_whole_body_has_no_field(client: Client) -> None:
    body = body_of(client.post("/companies", {"contactName": "Nobod"}, content_type="application/json"))

    assert body["errors"] == [{"field": "", "message": "Somebody is wanted."}]


def test_djangos_own_validation_error_looks_the_same(client: Client) -> None:
    assert body_of(client.get("/api/django-validation"))["errors"] == [
        {"field": "name", "message": "Too short."},
        {"field": "", "message": "Not both."},
    ]


@pytest.mark.parametrize(
    ("content", "content_type", "status", "slug"),
    [
        (b'{"contactName": ', "application/json", 400, "malformed"),
        (b"\xff\xfe", "application/json", 400, "malformed"),
        (b'{"contactName": NaN}', "application/json", 400, "malformed"),
        (b"[" * 200_000, "application/json", 400, "malformed"),
        (b'{"contactName": ' + b"9" * 5_000 + b"}", "application/json", 400, "malformed"),
        (b"{}", "application/json; charset=bz2_codec", 400, "malformed"),
        (b'{"contactName": "a\\u0000"}', "application/json", 400, "validation"),
        (b'{"contactName": "\\ud800"}', "application/json", 400, "validation"),
        (b'[{"contactName": "a"}]', "application/json", 400, "validation"),
        (b'"text"', "application/json", 400, "validation"),
        (b"", "application/json", 400, "validation"),
        (b"<a/>", "application/xml", 415, "unsupported-media-type"),
        (b"x" * 3_000_000, "application/json", 413, "content-too-large"),
    ],
)
def test_no_body_can_break_the_service(
    client: Client, content: bytes, content_type: str, status: int, slug: str
) -> None:
    response = client.generic("POST", "/companies", content, content_type)

    assert response.status_code == status
    assert body_of(response)["type"] == f"/problems/{slug}"


def test_what_can_not_be_produced_is_a_406(client: Client) -> None:
    assert body_of(client.get("/companies", headers={"Accept": "image/png"}))["status"] == 406


@pytest.mark.parametrize("path", ["/nowhere", "/plain/http404", "/plain/denied", "/plain/bug", "/plain/suspicious"])
def test_errors_outside_of_drf_are_problems_too(client: Client, path: str) -> None:
    response = client.get(path)

    assert body_of(response)
    assert "Accept" in response["Vary"]
    assert b"tried" not in response.content
    assert b"secret" not in response.content


def test_an_outage_outside_of_drf_is_a_503(client: Client) -> None:
    response = client.get("/plain/layer-unavailable")

    assert body_of(response)["status"] == 503
    assert response["Retry-After"] == "5"


def test_a_host_that_is_not_ours_is_a_problem(client: Client) -> None:
    assert body_of(client.get("/context", headers={"Host": "evil.example"}))["status"] == 400


@pytest.mark.parametrize("path", ["/nowhere", "/plain/http404", "/plain/bug", "/plain/denied", "/plain/suspicious"])
def test_a_browser_gets_a_page(client: Client, path: str) -> None:
    response = client.get(path, headers={"Accept": BROWSER})

    assert response["Content-Type"].startswith("text/html")
    assert response.status_code in (400, 403, 404, 500)


def test_the_browsable_api_shows_the_problem_and_the_errors_in_the_form(client: Client) -> None:
    response = client.post(
        "/companies",
        {"contactName": "much too long"},
        headers={"Accept": BROWSER},
    )

    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/html")
    page = response.content.decode()
    assert "/problems/validation" in page
    assert '<span class="help-block error">Ensure this field has no more than 5 characters.</span>' in page


def test_a_bug_is_logged_once_with_its_traceback_and_its_id(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        response = client.get("/api/bug")

    assert body_of(response)["detail"] == "Internal error"
    assert [(record.name, bool(record.exc_info)) for record in caplog.records] == [("django.request", True)]


def test_a_problem_speaks_the_callers_language(client: Client) -> None:
    body = body_of(client.get("/api/http404", headers={"Accept-Language": "ko"}))

    assert body["detail"] == "찾을 수 없습니다."


def test_a_path_of_any_characters_is_a_uri_in_the_answer(client: Client) -> None:
    assert json.loads(client.get('/no "where"/é').content)["instance"] == "/no%20%22where%22/%C3%A9"
