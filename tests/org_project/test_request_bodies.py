"""What a body says and no field reads is refused by name, by every endpoint that takes a body."""

import json
from typing import Any

import pytest
from django.test import Client

from organizations.models import Organization
from tests.org_project.conftest import url_of
from tests.writing_endpoints import writing_endpoints

pytestmark = pytest.mark.django_db(transaction=True)
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


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
        url = "/" + route.replace("<any_case_uuid:organization_id>", str(organization.pk))
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
