"""Requests with fuzzed headers through a whole Django service, in this process, and what must hold for each."""

import io
import json
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django.test import Client

from event_stream.user_context import CORRELATION_ID, is_acceptable
from service_kit.logging import EventJsonFormatter
from service_kit.wsgi import Request
from tests.security import fuzzed

Target = tuple[str, str, bytes]
"""Method, path, body."""

_NOT_IN_A_HEADER = str.maketrans("", "", "\0\r\n")


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """All that is logged meanwhile, as a service writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(EventJsonFormatter(service="fuzzed"))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield written
    finally:
        root.removeHandler(handler)


def storm(targets: Sequence[Target], *, seed: int, values: int) -> Counter[int]:
    """How often each status came. An AssertionError with the request for an answer that must not be."""
    # The test client makes requests of Django's class; the services have one of their own.
    with patch("django.test.client.WSGIRequest", Request):
        return _storm(Client(raise_request_exception=False), targets, seed, values)


def _storm(client: Client, targets: Sequence[Target], seed: int, values: int) -> Counter[int]:
    statuses: Counter[int] = Counter()
    sent = 0
    with logged() as log:
        for number, made in enumerate(fuzzed.requests(seed, values)):
            method, path, body = targets[number % len(targets)]
            sent += len(made)
            # No server lets these three through; test_fuzzed_sockets.py sends them.
            headers = {name: value.translate(_NOT_IN_A_HEADER) for name, value in made.items()}
            environ: dict[str, Any] = {
                "HTTP_" + name.upper().replace("-", "_"): value for name, value in headers.items()
            }
            # WSGI has its own name for this one.
            kind = environ.pop("HTTP_CONTENT_TYPE", "application/json")
            client.cookies.clear()
            answer = client.generic(method, path, body, content_type=kind, **environ)
            statuses[answer.status_code] += 1
            _check(answer, headers, f"{method} {path} {headers!r}")
    assert sent == values // 8 * 8
    _check_log(log.getvalue())
    return statuses


def _check(answer: Any, headers: dict[str, str], request: str) -> None:
    assert answer.status_code < 500, request
    given, answered = headers.get(CORRELATION_ID, ""), answer[CORRELATION_ID]
    assert is_acceptable(answered), request
    assert (answered == given) is is_acceptable(given), request
    for name, value in answer.items():
        assert name.lower() not in {"x-injected", "set-cookie"}, request
        assert value.isprintable(), request


def _check_log(text: str) -> None:
    for line in text.splitlines():
        entry = json.loads(line)
        assert entry["correlation_id"] is None or is_acceptable(entry["correlation_id"]), line
        assert entry["event"] != "forged", line
        assert entry["level"] in {"INFO", "WARNING"}, line
        assert line.isascii(), line
        assert line.isprintable(), line
