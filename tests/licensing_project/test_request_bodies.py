"""What a body says and no field reads is refused by name, by every endpoint that takes a body."""

from typing import Any

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA
from tests.writing_endpoints import writing_endpoints

pytestmark = pytest.mark.django_db
JSON = "application/json"


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
        path = route.replace("<any_case_uuid:organization_id>", NASA)
        path = path.replace("<any_case_uuid:license_id>", str(license.license_id))
        answer: Any = api.generic(method.upper(), f"/{path}", body, JSON)
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), (method, route)
        assert [error["field"] for error in answer.json()["errors"]] == fields, (method, route)
    assert License.objects.values().get() == before


def test_a_body_as_a_get_answers_it_is_taken(api: Client, license_url: str) -> None:
    read = api.get(license_url).json()
    answer = api.put(license_url, read | {"comment": "new"}, content_type=JSON)
    assert (answer.status_code, answer.json()["comment"]) == (200, "new")
