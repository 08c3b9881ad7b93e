"""What a body says and no field reads is refused by name, by every endpoint that takes a body."""

import json
import unicodedata
from typing import Any

import pytest
from django.test import Client

from organizations.models import Organization
from tests.org_project.conftest import url_of
from tests.writing_endpoints import CHANGING, writing_endpoints, written_texts

pytestmark = pytest.mark.django_db(transaction=True)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
WHOLE = {"name": "Acme"}
REQUIRED = {"name"}


def path_of(route: str, organization: Organization) -> str:
    return "/" + route.replace("<any_case_uuid:organization_id>", str(organization.pk))


def refused_fields(answer: Any) -> list[str]:
    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    assert answer.json()["type"] == "/problems/validation"
    return [error["field"] for error in answer.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "content_type", "fields"),
    [
        (b'{"name": "x", "contactEmial": "a@example.org"}', JSON, ["contactEmial"]),
        (b'{"name": "", "contactEmial": "a@example.org"}', JSON, ["name", "contactEmial"]),
        (b'{"name": "x", "\\ud800": 1}', JSON, ["\\ud800"]),
        (b'{"name": "x", "name": "y"}', JSON, ["name"]),
        (b'{"name": "x", "contactName": {"a": 1, "a": 2}}', JSON, ["a"]),
        (b"name=x&contactEmial=a", FORM, ["contactEmial"]),
    ],
)
def test_every_endpoint_refuses_what_it_does_not_know(
    api: Client, organization: Organization, body: bytes, content_type: str, fields: list[str]
) -> None:
    before = Organization.objects.values().get()
    for route, method in writing_endpoints():
        url = path_of(route, organization)
        assert refused_fields(api.generic(method.upper(), url, body, content_type)) == fields, (method, route)
    assert Organization.objects.values().get() == before


def test_a_body_as_a_get_answers_it_is_taken(api: Client, organization: Organization) -> None:
    read = api.get(url_of(organization)).json()
    assert api.put(url_of(organization), read | {"contactName": "New"}, content_type=JSON).status_code == 200


def test_a_body_of_unknown_members_is_answered_briefly(api: Client) -> None:
    body = json.dumps({f"{number}{'x' * 500}": 1 for number in range(1_000)})
    assert len(api.post("/v1/organization", body, content_type=JSON).content) < 10_000


def test_a_form_of_the_browsable_api_brings_its_csrf_token(organization: Organization, boss: Client) -> None:
    form = {"csrfmiddlewaretoken": "t", "name": "Formed"}
    answer = boss.post("/v1/organization", form, headers={"accept": "text/html"})
    assert answer.status_code == 201
    assert boss.post("/v1/organization", json.dumps(form), content_type=JSON).status_code == 400


@pytest.mark.parametrize("value", ["1e400", "-1e400", "17", "1.5", "true", "[]", "{}"])
def test_a_text_is_a_string_at_every_endpoint(api: Client, organization: Organization, value: str) -> None:
    before = Organization.objects.values().get()
    for route, method, field in written_texts():
        members = {name: json.dumps(text) for name, text in WHOLE.items()} | {field: value}
        body = "{" + ", ".join(f'"{name}": {text}' for name, text in members.items()) + "}"
        answer: Any = api.generic(method.upper(), path_of(route, organization), body, JSON)
        assert answer.status_code == 400, (method, route, field)
        assert [error["field"] for error in answer.json()["errors"]] == [field], (method, route)
    assert Organization.objects.values().get() == before


@pytest.mark.parametrize("blank", ["\u200b", " \u3164\ufeff ", "\u2800"])
def test_blank_means_blank_at_every_endpoint(api: Client, organization: Organization, blank: str) -> None:
    for route, method, field in written_texts():
        answer: Any = api.generic(
            method.upper(), path_of(route, organization), json.dumps(WHOLE | {field: blank}), JSON
        )
        if field in REQUIRED:
            assert [error["field"] for error in answer.json()["errors"]] == [field], (method, route)
        else:
            assert answer.json()[field] == "", (method, route)


def test_a_text_is_normalized_at_every_endpoint(api: Client, organization: Organization) -> None:
    for route, method, field in written_texts():
        if field not in {"contactEmail", "contactPhone"}:
            body = json.dumps(WHOLE | {field: unicodedata.normalize("NFD", "Müller")})
            answer: Any = api.generic(method.upper(), path_of(route, organization), body, JSON)
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
    api: Client, organization: Organization, headers: dict[str, str], status: int
) -> None:
    before = list(Organization.objects.values())
    for route, method in writing_endpoints(CHANGING):
        answer: Any = api.generic(
            method.upper(), path_of(route, organization), json.dumps(WHOLE), JSON, headers=headers
        )
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), (method, route)
    assert list(Organization.objects.values()) == before


def test_a_write_is_refused_to_the_version_that_is_excluded(api: Client, organization: Organization) -> None:
    tag = api.get(url_of(organization))["ETag"]
    for method in (api.put, api.patch, api.delete):
        for excluded in (tag, f"W/{tag}"):
            answer = method(url_of(organization), WHOLE, content_type=JSON, headers={"if-none-match": excluded})
            assert (answer.status_code, answer["ETag"]) == (412, tag)
    assert api.get(url_of(organization), headers={"if-match": '"17"'}).status_code == 412
    assert api.put(url_of(organization), WHOLE, content_type=JSON, headers={"if-none-match": '"17"'}).status_code == 200
