"""Every operation of a service's OpenAPI document, driven to every answer that a caller can cause."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import patch

import jsonschema
from django.test import Client
from drf_spectacular.generators import SchemaGenerator

from service_kit.wsgi import Request
from tests.security.odd_headers import ODD, UNREADABLE

ABSENT = "00000000-0000-4000-8000-000000000000"
_JSON = "application/json"
# Only one of an e-mail address and an empty text can be one.
_FORMATS = jsonschema.FormatChecker(["email"])
_BODIES = [
    *(b"", b"{", b"[]", b"{}", b'{"nobody": 1}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000),
    *(b" " * 2_621_441, json.dumps({"name": 1, "productName": 1}).encode()),
]
_HEADERS: list[dict[str, str]] = [
    # Before a deletion succeeds.
    {"HTTP_IF_MATCH": '"1"'},
    {"HTTP_IF_NONE_MATCH": "*"},
    {},
    *({"HTTP_ACCEPT": accept} for accept in ("image/png", "application/problem+json", "application/hal+json")),
    *({f"HTTP_IF_{name}": tag} for name in ("MATCH", "NONE_MATCH") for tag in ("*", '"1"', "1", "", 'W/"1"')),
    *({"CONTENT_TYPE": kind} for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")),
    *({"HTTP_TRANSFER_ENCODING": coding} for coding in ("chunked", "gzip")),
    {"HTTP_AUTHORIZATION": "Bearer a.b.c"},
    {"HTTP_ORGANIZATION_MIN_VERSION": "9" * 18},
    {"HTTP_CACHE_CONTROL": "no-cache"},
    {"QUERY_STRING": "page=0"},
    {"QUERY_STRING": "page=99"},
    {"QUERY_STRING": "size=x"},
    {"QUERY_STRING": f"search={'a+' * 100}"},
    {"QUERY_STRING": "search=%00"},
    {"QUERY_STRING": "format=nothing"},
    {"QUERY_STRING": "a&" * 2_000},
    *({name: value} for name, value, _status in UNREADABLE),
    *({name: value} for name, value in ODD if name not in {"HTTP_HOST", "HTTP_COOKIE", "HTTP_ACCEPT"}),
]


def check_every_answer(client: Client, identifiers: Mapping[str, str], body: Mapping[str, str]) -> dict[str, set[int]]:
    """Drive every operation; return the statuses of each by its id.

    `identifiers` are the path parameters of something that exists, `body` is what a write of it takes.
    """
    document: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    document = json.loads(json.dumps(document, default=str))
    met: dict[str, set[int]] = {}
    with patch("django.test.client.WSGIRequest", Request):
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                for url, content, headers in _requests(path, identifiers, body, method):
                    environ: dict[str, Any] = {"CONTENT_TYPE": _JSON, **headers}
                    answer = client.generic(method.upper(), url, content, **environ)
                    _check(document, operation, answer, (method, url, content[:30], headers))
                    met.setdefault(operation["operationId"], set()).add(answer.status_code)
    return met


def _requests(
    path: str, identifiers: Mapping[str, str], body: Mapping[str, str], method: str
) -> Iterator[tuple[str, bytes, dict[str, str]]]:
    def url(ids: Mapping[str, str]) -> str:
        return re.sub(r"\{(\w+)\}", lambda found: ids.get(found[1], "some-id"), path)

    content = json.dumps(body).encode() if method in {"post", "put", "patch"} else b""
    there = url(identifiers)
    absent = dict.fromkeys(identifiers, ABSENT)
    yield url(absent), content, {}
    yield url({**identifiers, list(identifiers)[-1]: ABSENT}), content, {}
    for headers in _HEADERS:
        yield there, content, headers
    if content:
        for wrong in _BODIES:
            yield there, wrong, {}
    # A deletion that succeeds comes last.
    yield (there if method != "delete" else url(absent)), content, {}


def _check(document: Any, operation: Any, answer: Any, request: object) -> None:
    assert answer.status_code < 500 or answer.status_code in {501, 503}, request
    response = operation["responses"].get(str(answer.status_code))
    assert response is not None, (answer.status_code, answer.content[:300], request)
    if answer.status_code in {204, 304}:
        assert not answer.content, request
        return
    kind = answer["Content-Type"].partition(";")[0]
    assert kind in response["content"], (kind, request)
    schema = {**response["content"][kind]["schema"], "components": document["components"]}
    jsonschema.validate(json.loads(answer.content), _nullable(schema), format_checker=_FORMATS)


def _nullable(schema: Any) -> Any:
    """The schema with OpenAPI's `nullable` (3.0) as JSON Schema has it."""
    if isinstance(schema, list):
        return [_nullable(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    converted = {name: _nullable(value) for name, value in schema.items()}
    return {"anyOf": [converted, {"type": "null"}]} if converted.pop("nullable", False) is True else converted
