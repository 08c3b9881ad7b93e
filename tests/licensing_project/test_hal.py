"""application/hal+json: links that are absolute, and true where they are followed."""

from typing import Any

import pytest
from django.test import Client
from django.test.utils import override_script_prefix

from tests.licensing_project.organization_service import NASA

pytestmark = pytest.mark.django_db
HAL = {"accept": "application/hal+json"}


def hrefs(document: Any) -> dict[str, str]:
    return {name: link["href"] for name, link in document["_links"].items()}


def test_a_license_links_to_itself_and_to_what_can_be_done(api: Client, license_url: str, licenses_url: str) -> None:
    answer = api.get(license_url, headers=HAL)
    assert answer["Content-Type"] == "application/hal+json"
    itself, collection = f"http://localhost{license_url}", f"http://localhost{licenses_url}"
    assert hrefs(answer.json()) == {
        "self": itself,
        "updateLicense": itself,
        "deleteLicense": itself,
        "createLicense": collection,
        "collection": collection,
    }
    plain = api.get(license_url).json()
    assert {name: value for name, value in answer.json().items() if name != "_links"} == plain


def test_behind_the_gateway_the_links_are_the_gateways(api: Client, license_url: str) -> None:
    # As gunicorn hands on what it believes of the gateway: its prefix, its scheme, the host that was asked.
    gateway: Any = {"SCRIPT_NAME": "/license", "PATH_INFO": license_url, "wsgi.url_scheme": "https"}
    with override_script_prefix("/license/"):  # which Django's own handler does, and its test client doesn't
        answer = api.get(license_url, headers={**HAL, "host": "localhost:8072"}, **gateway)
    assert answer.status_code == 200
    assert hrefs(answer.json())["self"] == f"https://localhost:8072/license{license_url}"


def test_the_list_is_linked_page_by_page(api: Client, license_url: str, licenses_url: str) -> None:
    for _ in range(2):
        made = api.post(
            licenses_url, {"productName": "P", "licenseType": "T"}, content_type="application/json", headers=HAL
        )
        assert hrefs(made.json())["self"] == made["Location"]
    page = api.get(f"{licenses_url}?size=1&page=2", headers=HAL).json()
    collection = f"http://localhost{licenses_url}"
    assert page["count"] == 3
    assert hrefs(page) == {
        "self": f"{collection}?size=1&page=2",
        "next": f"{collection}?page=3&size=1",
        "prev": f"{collection}?size=1",
        "collection": collection,
        "createLicense": collection,
    }
    (each,) = page["_embedded"]["licenses"]
    assert each["organizationId"] == NASA
    assert api.get(hrefs(each)["self"].removeprefix("http://localhost")).status_code == 200


def test_problems_are_problems_in_every_media_type(api: Client, licenses_url: str) -> None:
    answer = api.get(f"{licenses_url}/{NASA}", headers=HAL)
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
