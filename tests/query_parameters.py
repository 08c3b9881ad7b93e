"""Every query parameter of a service, of the API and of the admin's lists, with the longest values of a request."""

import itertools
import re
from typing import Any

from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

VALUES = [
    "a " * 4_000,
    "é\u0301 " * 900,
    '"a' * 4_000,
    "1." * 4_000,
    "-1." * 2_500,
    "9" * 8_000,
    "a," * 4_000,
    "x" * 8_000,
]
_IN_THE_ADMIN = ("q", "o", "p", "all", "_facets", "_popup", "_to_field")
_LONGEST_STATEMENT = 60_000
"""50 words, each in the two forms of its letters and in five fields, make 35,000 characters."""


def check_every_parameter(client: Client, identifiers: dict[str, str]) -> None:
    """`identifiers` are the path parameters of something that exists. `client` may see everything."""
    parameters = _of_api()
    assert parameters
    for route, name in parameters:
        for value in VALUES:
            answer = _get(client, route.format(correlation_id="some-id", **identifiers), name, value)
            assert answer.status_code in (200, 400, 404), (route, name, value[:9])
            if name == "search":
                (error,) = answer.json()["errors"]
                assert error["field"] == "search"
    others = itertools.cycle(VALUES)
    for path, is_searched in _lists():
        for name in _IN_THE_ADMIN:
            for value in VALUES[:3] if name == "q" else [next(others)]:
                answer = _get(client, path, name, value)
                assert answer.status_code in (200, 302, 400), (path, name, value[:9])
                if name == "q" and is_searched:
                    assert "Search for 50 words at most" in answer.content.decode(), (path, value[:9])


def _get(client: Client, path: str, name: str, value: str) -> Any:
    with CaptureQueriesContext(connection) as statements:
        answer = client.get(path, {name: value})
    longest = max((len(statement["sql"]) for statement in statements), default=0)
    assert longest < _LONGEST_STATEMENT, (path, name, value[:9], longest)
    return answer


def _of_api() -> list[tuple[str, str]]:
    schema: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return [
        (re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", route), parameter["name"])
        for route, methods in schema["paths"].items()
        for parameter in methods.get("get", {}).get("parameters", ())
        if parameter["in"] == "query"
    ]


def _lists() -> list[tuple[str, bool]]:
    return [
        (reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"), bool(model_admin.search_fields))
        for model, model_admin in admin.site._registry.items()
    ]
