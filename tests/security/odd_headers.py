"""Headers whose text reaches a codec, a parser or a number, sent to every URL of a service with every method."""

import itertools
import re
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from django.conf import settings
from django.test import Client

from service_kit.wsgi import Request
from tests.writing_endpoints import every_route

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND")
_DIGITS = "9" * 5_000
_PARAMETERS = (
    "x*=klingon''y",
    "x*=idna''%ff",
    "x*=undefined''%ff",
    "x*=utf-8%00''y",
    f"x*{_DIGITS}=y",
)
_CHARSETS = ("zlib", "bz2_codec", "hex", "rot13", "idna", "punycode", "undefined", "unicode_escape", "klingon", "")
UNREADABLE = [
    *(("CONTENT_TYPE", f"text/plain; charset={charset}", 415) for charset in _CHARSETS),
    *(("CONTENT_TYPE", f"application/json; charset*=utf-8''{charset}", 415) for charset in ("zlib", "%00")),
    *(("CONTENT_TYPE", f"multipart/form-data; boundary=x; {parameter}", 415) for parameter in _PARAMETERS),
    *(("HTTP_ACCEPT", f"application/json, text/html; {parameter}", 400) for parameter in _PARAMETERS),
]
ODD = [
    *(
        ("CONTENT_TYPE", f"{media}; charset={charset}")
        for media in ("application/json", "text/plain")
        for charset in ("utf-16", "utf-7", "latin-1", "cp037", "shift_jis")
    ),
    *(("CONTENT_TYPE", f"multipart/form-data; boundary={boundary}") for boundary in ("", "\xe9", "x" * 300, "x'y")),
    *(("HTTP_ACCEPT", f"text/html;q={number}") for number in ("nan", "inf", "-1", "1e400", _DIGITS, "0x1")),
    *(
        ("HTTP_IF_MODIFIED_SINCE", date)
        for date in (
            f"Wed, {_DIGITS} Nov 2026 20:00:00 GMT",
            f"Wed, 25 Nov {_DIGITS} 20:00:00 GMT",
            "Wed, 25 Nov",
            ",",
            "9 9 9 9",
            f"Wed, 25 Nov 2026 20:00:00 +{_DIGITS}",
            "Wednesday, 25-Nov-99 99:99:99 GMT",
        )
    ),
    *(("HTTP_RANGE", f"bytes={numbers}") for numbers in (f"0-{_DIGITS}", f"-{_DIGITS}", "-", "1-0", "0-0,1-1")),
    *(
        ("HTTP_COOKIE", f"{name}={value}")
        for name in ("organization_session", "licensing_session", "messages")
        for value in ('"\\000abcdefghijkl"', '"\\377\\377abcdefgh"', "a" * 4_000, "[[[[", "a:b:c")
    ),
    *(("HTTP_ACCEPT_LANGUAGE", value) for value in (f"ko;q={_DIGITS}", "a" * 4_000, "ko-\x00", "-" * 300)),
    *(("HTTP_X_FORWARDED_FOR", value) for value in ("1.2.3.4%" + "a" * 300, _DIGITS, "::1%\xb2", "1.2.3.\xb2")),
    *(("HTTP_AUTHORIZATION", f"Bearer {value}") for value in (f"{_DIGITS}.a.b", "....", "\xe9.\xe9.\xe9", "e30.e30.")),
    *(
        (f"HTTP_{name}", value)
        for name in ("IF_MATCH", "IF_NONE_MATCH")
        for value in ("", "\xb2", f'"{_DIGITS}"', "W/")
    ),
    *(("HTTP_ORGANIZATION_MIN_VERSION", value) for value in (_DIGITS, "\xb2", "1e400", "-0", "1_0")),
    *(("HTTP_CACHE_CONTROL", f"max-age={value}") for value in (_DIGITS, "\xb2", "1e400", '"')),
    *(("HTTP_ORIGIN", value) for value in ("http://[", "http://[::1", f"http://a:{_DIGITS}", "\xe9")),
    *(("HTTP_REFERER", value) for value in ("http://[", f"https://a:{_DIGITS}/", "\xe9")),
    *(("HTTP_HOST", value) for value in (f"localhost:{_DIGITS}", "[::1", "\xe9", "xn--\xb2")),
]
"""To be answered without a 5xx."""


def check_every_url(fill: Callable[[str, str], str]) -> None:
    """Send each header several times, and some to every URL with every method. `fill` makes a path of a route."""
    with patch("django.test.client.WSGIRequest", Request):
        client = Client(raise_request_exception=False)
        unreadable, odd = itertools.cycle(UNREADABLE), itertools.cycle(ODD)
        for path, method in _targets(fill):
            is_api = path.startswith("/v1/")
            for name, value, status in UNREADABLE if is_api else [next(unreadable)]:
                answer = _send(client, method, path, name, value)
                assert answer.status_code == status, (method, path, name, value)
                assert answer["Content-Type"] == "application/problem+json", (method, path, name, value)
            for name, value in itertools.islice(odd, 12 if is_api else 2):
                answer = _send(client, method, path, name, value)
                assert answer.status_code < 500, (method, path, name, value)


def check_every_refusal(fill: Callable[[str, str], str]) -> None:
    """Send each method to every URL: what is refused is refused with a problem, but for a browser."""
    with patch("django.test.client.WSGIRequest", Request):
        client = Client(raise_request_exception=False, enforce_csrf_checks=True)
        for path, method in _targets(fill):
            for accept in ("*/*", "application/json", "application/problem+json"):
                answer = _send(client, method, path, "HTTP_ACCEPT", accept)
                if answer.status_code >= 400:
                    assert answer["Content-Type"] == "application/problem+json", (method, path, accept, answer)
                    assert answer.status_code != 405 or answer["Allow"], (method, path)


def check_cookies_that_are_no_sessions(caplog: pytest.LogCaptureFixture) -> None:
    """A key with a NUL was a 400, with a traceback in the log."""
    with patch("django.test.client.WSGIRequest", Request):
        client = Client(raise_request_exception=False)
        for value in ('"\\000abcdefghijkl"', '"\\377\\377abcdefgh"', "a b c d e f g h", "%00" * 8, "x" * 4_000):
            for path in ("/admin/", "/v1/organization/"):
                cookies = f"{settings.SESSION_COOKIE_NAME}={value}"
                assert client.get(path, HTTP_COOKIE=cookies).status_code in (200, 302, 401, 403, 404), (path, value)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def _send(client: Client, method: str, path: str, name: str, value: str) -> Any:
    client.cookies.clear()
    environ: dict[str, Any] = {name: value}
    kind = environ.pop("CONTENT_TYPE", "application/json")
    answer: Any = client.generic(method, f"{path}?a=1", b"{}", kind, **environ)
    if answer.streaming:
        answer.close()
    return answer


def _targets(fill: Callable[[str, str], str]) -> Iterator[tuple[str, str]]:
    for route in [*(route for route, _callback in every_route()), "static/admin/css/base.css"]:
        for method in METHODS:
            path = fill(route, method)
            # The rest of an admin's route: a value for each part that varies.
            path = re.sub(r"<[^>]+>", "1", path.replace("^(?P<app_label>", "(").replace("(?P<url>.*)$", "elsewhere"))
            yield "/" + re.sub(r"\((\w+)[^)]*\)", r"\1", path).rstrip("$"), method
