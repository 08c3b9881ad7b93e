"""What a body says and no field reads is refused by name, by every endpoint that takes a body."""

import json
import unicodedata
from typing import Any

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA
from tests.writing_endpoints import CHANGING, writing_endpoints, written_texts

pytestmark = pytest.mark.django_db
JSON = "application/json"
WHOLE = {"productName": "P", "licenseType": "T"}
REQUIRED = {"productName", "licenseType"}


def path_of(route: str, license: License) -> str:
    path = route.replace("<any_case_uuid:organization_id>", NASA)
    return "/" + path.replace("<any_case_uuid:license_id>", str(license.license_id))


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"productName": "P", "licenseType": "T", "coment": "x"}', ["coment"]),
        (b'{"productName": "P", "licenseType": "T", "name": "NASA"}', ["name"]),
        (b'{"productName": "P", "licenseType": "T", "comment": "x", "comment": "y"}', ["comment"]),
    ],
)
def test_every_endpoint_refuses_what_it_does_not_know(
    api: Client, license: License, body: bytes, fields: list[str]
) -> None:
    before = License.objects.values().get()
    for route, method in writing_endpoints():
        answer: Any = api.generic(method.upper(), path_of(route, license), body, JSON)
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), (method, route)
        assert [error["field"] for error in answer.json()["errors"]] == fields, (method, route)
    assert License.objects.values().get() == before


def test_a_body_as_a_get_answers_it_is_taken(api: Client, license_url: str) -> None:
    read = api.get(license_url).json()
    answer = api.put(license_url, read | {"comment": "new"}, content_type=JSON)
    assert (answer.status_code, answer.json()["comment"]) == (200, "new")


@pytest.mark.parametrize("value", ["1e400", "-1e400", "17", "1.5", "true", "[]", "{}"])
def test_a_text_is_a_string_at_every_endpoint(api: Client, license: License, value: str) -> None:
    before = License.objects.values().get()
    for route, method, field in written_texts():
        members = {name: json.dumps(text) for name, text in WHOLE.items()} | {field: value}
        body = "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"
        answer: Any = api.generic(method.upper(), path_of(route, license), body, JSON)
        assert answer.status_code == 400, (method, route, field)
        assert [error["field"] for error in answer.json()["errors"]] == [field], (method, route)
    assert License.objects.values().get() == before


@pytest.mark.parametrize("blank", ["\u200b", " \u3164\ufeff ", "\u2800"])
def test_blank_means_blank_at_every_endpoint(api: Client, license: License, blank: str) -> None:
    for route, method, field in written_texts():
        answer: Any = api.generic(method.upper(), path_of(route, license), json.dumps(WHOLE | {field: blank}), JSON)
        if field in REQUIRED:
            assert [error["field"] for error in answer.json()["errors"]] == [field], (method, route)
        else:
            assert answer.json()[field] == "", (method, route)


def test_a_text_is_normalized_at_every_endpoint(api: Client, license: License) -> None:
    for route, method, field in written_texts():
        if field not in {"contactEmail", "contactPhone"}:
            body = json.dumps(WHOLE | {field: unicodedata.normalize("NFD", "Müller")})
            answer: Any = api.generic(method.upper(), path_of(route, license), body, JSON)
            assert answer.json()[field] == unicodedata.normalize("NFC", "Müller"), (method, route)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"if-match": ""}, 400),
        ({"if-match": "17"}, 400),
        ({"if-match": '"17"'}, 412),
        ({"if-none-match": ""}, 400),
        ({"if-none-match": "*"}, 412),
    ],
)
def test_every_write_honours_its_preconditions(
    api: Client, license: License, headers: dict[str, str], status: int
) -> None:
    before = list(License.objects.values())
    for route, method in writing_endpoints(CHANGING):
        answer: Any = api.generic(method.upper(), path_of(route, license), json.dumps(WHOLE), JSON, headers=headers)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), (method, route)
    assert list(License.objects.values()) == before
