"""The user context of a request: what is taken, what is refused, and that it ends with the request."""

import codecs
import encodings
import encodings.aliases
import io
import itertools
import logging
import pkgutil
import uuid
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.http import QueryDict
from django.test import Client
from gunicorn.http.errors import InvalidChunkSize  # type: ignore[import-untyped]
from pytest_django import Settings

from event_stream import user_context
from service_kit import charsets
from service_kit.charsets import bound_searches, is_charset
from service_kit.wsgi import Request
from tests.event_stream import web_settings

JSON = "application/json"


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


UNREADABLE = [
    ("CONTENT_TYPE", "text/plain; charset=zlib", 415),
    ("CONTENT_TYPE", "application/json; charset=klingon", 415),
    ("CONTENT_TYPE", "text/plain; charset*=utf-8''%00", 415),
    ("CONTENT_TYPE", "multipart/form-data; boundary=x; y*=klingon''z", 415),
    ("CONTENT_TYPE", f"text/plain; x*{'9' * 5_000}=y", 415),
    ("HTTP_ACCEPT", "application/json; x*=klingon''y", 400),
    ("HTTP_ACCEPT", "text/html, */*; x*=idna''%ff", 400),
    ("HTTP_ACCEPT", f"text/html; x*{'9' * 5_000}=y", 400),
]


@pytest.fixture
def readable(settings: Settings) -> Iterator[Client]:
    first, *rest = web_settings.MIDDLEWARE
    settings.MIDDLEWARE = [first, "service_kit.middleware.ReadableRequestMiddleware", *rest]
    with patch("django.test.client.WSGIRequest", Request):
        yield Client(raise_request_exception=False)


@pytest.mark.parametrize(("name", "value", "status"), UNREADABLE)
@pytest.mark.parametrize("path", ["/context?a=1", "/companies?a=1", "/nowhere?a=1"])
def test_a_header_that_can_not_be_read_is_a_problem(
    readable: Client, path: str, name: str, value: str, status: int
) -> None:
    environ: dict[str, Any] = {name: value}
    response = readable.generic("GET", path, **environ)

    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
    assert response["tmx-correlation-id"]


def test_too_many_parameters_and_a_charset_are_no_error_of_ours(readable: Client) -> None:
    response = readable.get("/companies?" + "a&" * 2_000, headers={"Content-Type": "text/plain; charset=utf-8"})

    assert response.status_code == 413


def test_every_encoding_of_python_decodes_any_bytes_or_is_no_charset() -> None:
    names = {module.name for module in pkgutil.iter_modules(encodings.__path__)} | set(encodings.aliases.aliases)
    found = {name for name in names if is_charset(name)}

    assert {"utf_8", "latin_1", "ascii", "utf_16", "euc_kr"} <= found
    assert not {"zlib_codec", "rot_13", "idna", "punycode", "undefined", "unicode_escape", "aliases"} & found
    for charset in found:
        bytes(range(256)).decode(charset, "replace")
        QueryDict(bytes(range(256)) + b"a=..&b=%ff%00.%2e&xn--a=\\x", encoding=charset)


@pytest.fixture
def _bounded_searches() -> Iterator[None]:
    bound_searches()
    yield
    codecs.unregister(charsets._search)
    codecs.register(encodings.search_function)


@pytest.mark.usefixtures("_bounded_searches")
def test_names_of_charsets_take_no_memory(readable: Client) -> None:
    part = "--x\r\nContent-Disposition: form-data; name*=part-%d''%%41; filename=\"a\"\r\n\r\nb\r\n"
    bodies = ["".join(part % number for number in range(50)) + "--x--\r\n", ""]
    known = len(encodings._cache)
    for number, body in itertools.product(range(20), bodies):
        for kind in (
            f"text/plain; charset=no-{number}",
            f"text/plain; y*=no-{number}''%41",
            "multipart/form-data; boundary=x",
        ):
            readable.generic(
                "POST", "/companies", body, kind, headers={"Accept": f"text/html; y*=accept-{number}''%41"}
            )
            readable.generic("POST", "/companies", body, kind)
    assert len(encodings._cache) - known < 5
    assert is_charset("UTF-8")


HEALTH = ["/health/live", "/health/ready"]


@pytest.mark.parametrize("host", ["10.42.0.17:8080", "[fd00::17]", "pod-7", "a b"])
def test_probes_may_name_any_host_and_nothing_else_may(readable: Client, host: str) -> None:
    for path in HEALTH:
        assert readable.get(path, headers={"Host": host}).status_code in (200, 503), path
    for path in ("/context", "/companies", "/health/live/", "/health", "/nowhere"):
        assert readable.get(path, headers={"Host": host}).status_code == 400, path


def chunked(client: Client, body: io.BytesIO, coding: str = "chunked", *, terminated: bool = True) -> Any:
    environ: dict[str, Any] = {"wsgi.input": body, "wsgi.input_terminated": terminated, "CONTENT_TYPE": JSON}
    return client.generic("POST", "/companies", HTTP_TRANSFER_ENCODING=coding, **environ)


def test_a_body_of_unknown_length_is_read(readable: Client) -> None:
    response = chunked(readable, io.BytesIO(b'{"contactName": "Ann"}'))

    assert (response.status_code, response.json()) == (201, {"contactName": "Ann"})


class Broken(io.BytesIO):
    def read(self, size: int | None = -1, /) -> bytes:
        raise InvalidChunkSize(b"zz")


@pytest.mark.parametrize(
    ("body", "coding", "terminated", "status"),
    [
        (io.BytesIO(b"{}"), "chunked", False, 411),
        (io.BytesIO(b"{}"), "gzip, chunked", True, 501),
        (io.BytesIO(b" " * 3_000_000), "chunked", True, 413),
        (Broken(), "chunked", True, 400),
    ],
)
def test_or_it_is_refused(readable: Client, body: io.BytesIO, coding: str, terminated: bool, status: int) -> None:
    response = chunked(readable, body, coding, terminated=terminated)

    assert (response.status_code, response["Content-Type"]) == (status, "application/problem+json")
