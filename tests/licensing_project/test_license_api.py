"""Create, read, update, delete, as a caller sees them."""

import uuid
from typing import Any

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA, OrganizationService

pytestmark = pytest.mark.django_db

NEW = {"productName": "Ostock", "licenseType": "trial", "description": "설명", "comment": "none"}
CONTACT = {
    "organizationName": "NASA",
    "contactName": "James Webb",
    "contactEmail": "webb@example.org",
    "contactPhone": "+1 202 555 0100",
}


def post(api: Client, url: str, body: Any, **headers: str) -> Any:
    return api.post(url, body, content_type="application/json", headers=headers)


def test_a_license_is_answered_with_its_organization(api: Client, license: License, license_url: str) -> None:
    answer = api.get(license_url)
    assert answer.status_code == 200
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {
        "licenseId": str(license.license_id),
        "organizationId": NASA,
        "description": license.description,
        "productName": "Ostock",
        "licenseType": "complete",
        "comment": "one\ntwo",
        **CONTACT,
    }


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.usefixtures("organization_service")
def test_both_forms_of_each_url_answer_without_a_redirect(api: Client, licenses_url: str, slash: str) -> None:
    created = post(api, licenses_url + slash, NEW)
    assert created.status_code == 201
    single = f"{licenses_url}/{created.json()['licenseId']}{slash}"
    assert created["Location"] == f"http://localhost{single.rstrip('/')}"
    assert api.get(licenses_url + slash).json()["count"] == 1
    assert api.get(single).json() == created.json() == {**created.json(), **NEW, **CONTACT}
    changed = api.put(single, {**NEW, "comment": "changed"}, content_type="application/json")
    assert (changed.status_code, changed.json()["comment"]) == (200, "changed")
    patched = api.patch(single, {"licenseType": "complete"}, content_type="application/json")
    assert (patched.json()["licenseType"], patched.json()["comment"]) == ("complete", "changed")
    assert api.delete(single).status_code == 204
    assert api.get(single).status_code == 404


@pytest.mark.parametrize("media_type", ["application/json", "application/hal+json"])
def test_the_organizations_name_is_no_name_of_the_license(api: Client, license_url: str, media_type: str) -> None:
    answer = api.get(license_url, headers={"accept": media_type}).json()
    assert answer["organizationName"] == "NASA"
    assert "name" not in answer


def test_a_put_empties_what_it_leaves_out(api: Client, license_url: str) -> None:
    answer = api.put(license_url, {"productName": "P", "licenseType": "T"}, content_type="application/json")
    assert (answer.json()["description"], answer.json()["comment"]) == ("", "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "productName"),
        ({**NEW, "productName": ""}, "productName"),
        ({**NEW, "licenseType": "x" * 101}, "licenseType"),
        ({**NEW, "comment": "a\x00b"}, "comment"),
        ({**NEW, "comment": "\ud800"}, "comment"),
        ({**NEW, "comment": None}, "comment"),
        ({**NEW, "description": {"a": 1}}, "description"),
    ],
)
@pytest.mark.usefixtures("organization_service")
def test_what_is_not_valid_is_refused_field_by_field(
    api: Client, licenses_url: str, body: dict[str, Any], field: str
) -> None:
    answer = post(api, licenses_url, body)
    assert answer.status_code == 400
    assert answer["Content-Type"] == "application/problem+json"
    assert field in [error["field"] for error in answer.json()["errors"]]
    assert not License.objects.exists()


@pytest.mark.usefixtures("organization_service")
def test_an_id_in_the_body_is_not_the_callers_to_choose(api: Client, licenses_url: str) -> None:
    chosen = str(uuid.uuid4())
    answer = post(api, licenses_url, {**NEW, "licenseId": chosen, "organizationId": chosen, "organizationName": "Mine"})
    assert answer.json()["organizationId"] == NASA
    assert answer.json()["licenseId"] != chosen
    assert answer.json()["organizationName"] == "NASA"


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_another_organizations_license_is_not_found(api: Client, license: License, method: str) -> None:
    url = f"/v1/organization/{uuid.uuid4()}/license/{license.license_id}"
    answer = getattr(api, method)(url, NEW, content_type="application/json") if method != "get" else api.get(url)
    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/license-not-found"
    license.refresh_from_db()


@pytest.mark.parametrize("path", ["license/none", "license/1", "license/../..", f"license/{NASA}-"])
def test_an_id_that_is_no_uuid_is_not_found(api: Client, path: str) -> None:
    answer = api.get(f"/v1/organization/{NASA}/{path}")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")


def test_ids_are_taken_in_either_case_and_given_in_lower_case(
    api: Client, license: License, organization_service: OrganizationService
) -> None:
    answer = api.get(f"/v1/organization/{NASA.upper()}/license/{str(license.license_id).upper()}")
    assert answer.json()["organizationId"] == NASA
    assert organization_service.requests[0][0] == f"/v1/organization/{NASA}"


def test_the_list_is_paged_and_costs_one_lookup(
    api: Client, licenses_url: str, organization_service: OrganizationService
) -> None:
    for number in range(5):
        License.objects.create(organization_id=NASA, product_name=f"P{number}", license_type="T")
    License.objects.create(organization_id=uuid.uuid4(), product_name="P", license_type="T")
    page = api.get(f"{licenses_url}?size=2&page=2").json()
    assert page["count"] == 5
    assert [each["productName"] for each in page["results"]] == ["P2", "P3"]
    assert all(each["organizationName"] == "NASA" for each in page["results"])
    assert page["next"] == f"http://localhost{licenses_url}?page=3&size=2"
    assert len(organization_service.requests) == 1


def test_a_license_can_not_be_made_for_an_organization_that_is_not_there(
    api: Client, organization_service: OrganizationService
) -> None:
    nobody = str(uuid.uuid4())
    url = f"/v1/organization/{nobody}/license"
    answer = post(api, url, NEW)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/organization-not-found")
    assert not License.objects.exists()
    assert api.get(url).status_code == 404
    # Its absence is cached by now, and must not outlive its creation here.
    organization_service.put(nobody)
    assert post(api, url, NEW).status_code == 201


def test_a_license_outlives_its_organization_and_says_so(
    api: Client, license_url: str, licenses_url: str, organization_service: OrganizationService
) -> None:
    organization_service.remove(NASA)
    answer = api.get(license_url)
    assert answer.status_code == 200
    assert answer["Organization-Absent"] == "?1"
    assert {name: answer.json()[name] for name in CONTACT} == dict.fromkeys(CONTACT)
    assert api.get(licenses_url).json()["results"] == [answer.json()]
    assert api.delete(license_url).status_code == 204


def test_a_write_goes_without_the_organization_service(
    api: Client, license_url: str, organization_service: OrganizationService, tuned: Any
) -> None:
    tuned(base_url="http://127.0.0.1:1")
    answer = api.patch(license_url, {"comment": "changed"}, content_type="application/json")
    assert (answer.status_code, answer.json()["comment"], answer.json()["organizationName"]) == (200, "changed", None)
    assert answer["Organization-Cache"] == "unavailable"
    assert "Organization-Version" not in answer
