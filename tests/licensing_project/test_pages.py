"""What a person sees in a browser: the browsable API, the admin, the documentation of the API."""

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA, OrganizationService, answering

pytestmark = pytest.mark.django_db
HTML = {"accept": "text/html"}


@pytest.fixture
def admin(api: Client) -> Client:
    api.force_login(User.objects.create_superuser("admin", "admin@example.org"))
    return api


def test_the_browsable_api_shows_a_license_and_a_form_filled_with_it(api: Client, license_url: str) -> None:
    page = api.get(license_url, headers=HTML)
    assert page["Content-Type"].startswith("text/html")
    # Unlike an answer to a program, which may be reused within the bound.
    assert page["Cache-Control"] == "private, no-store"
    text = page.content.decode()
    assert "webb@example.org" in text
    assert 'name="productName"' in text
    assert 'value="complete"' in text


def test_its_forms_create_and_report_what_is_wrong(api: Client, licenses_url: str, license: License) -> None:
    wrong = api.post(licenses_url, {"productName": "P", "licenseType": ""}, headers=HTML)
    assert wrong.status_code == 400
    assert "This field may not be blank." in wrong.content.decode()
    made = api.post(licenses_url, {"productName": "P", "licenseType": "T"}, headers=HTML)
    assert made.status_code == 201
    assert License.objects.filter(product_name="P").count() == 1


def test_the_list_is_browsable(api: Client, license_url: str, licenses_url: str) -> None:
    text = api.get(licenses_url, headers=HTML).content.decode()
    assert "James Webb" in text
    assert 'name="licenseType"' in text


def test_the_admin_edits_licenses_and_the_version_goes_up(admin: Client, license: License) -> None:
    url = f"/admin/licenses/license/{license.license_id}/change/"
    assert "Ostock" in admin.get("/admin/licenses/license/?q=ostock").content.decode()
    assert admin.get(url).status_code == 200
    assert admin.post(url, form_of(license, product_name="Changed")).status_code == 302
    changed = License.objects.get(license_id=license.license_id)
    assert (changed.product_name, str(changed.organization_id)) == ("Changed", NASA)
    assert changed.version > license.version


def form_of(license: License, **values: Any) -> dict[str, Any]:
    """What the browser sends of a license's form that was opened now."""
    license.refresh_from_db()
    fields = {"product_name": "P", "license_type": "T", "description": "", "comment": ""}
    return fields | {"seen_version": license.version} | values


@pytest.mark.parametrize("seen", [None, ""])
def test_of_two_tabs_of_the_admin_the_second_does_not_overwrite_the_first(
    admin: Client, license: License, seen: str | None
) -> None:
    url = f"/admin/licenses/license/{license.license_id}/change/"
    assert f'name="seen_version" value="{license.version}"' in admin.get(url).content.decode()
    first = form_of(license, product_name="First")
    second = form_of(license, product_name="Second") | ({} if seen is None else {"seen_version": seen})
    assert admin.post(url, first).status_code == 302
    refused = admin.post(url, second)
    assert refused.status_code == 200
    assert "Somebody else has changed this license" in refused.content.decode()
    license.refresh_from_db()
    assert license.product_name == "First"


NEW = {"organization_id": NASA, "product_name": "P", "license_type": "T", "description": "", "comment": ""}


@pytest.mark.usefixtures("organization_service")
def test_the_admin_makes_a_license_for_an_organization(admin: Client) -> None:
    assert admin.post("/admin/licenses/license/add/", NEW).status_code == 302
    assert str(License.objects.get().organization_id) == NASA


def test_the_admin_makes_no_license_for_an_organization_that_is_not_there(
    admin: Client, organization_service: OrganizationService
) -> None:
    nobody = str(uuid4())
    refused = admin.post("/admin/licenses/license/add/", NEW | {"organization_id": nobody})
    assert refused.status_code == 200
    assert f"There is no organization {nobody}." in refused.content.decode()
    organization_service.behaviour = answering(500)
    unknown = admin.post("/admin/licenses/license/add/", NEW | {"organization_id": str(uuid4())})
    assert unknown.status_code == 200
    assert "be asked for now" in unknown.content.decode()
    assert not License.objects.exists()
    organization_service.behaviour = None
    organization_service.put(nobody)
    assert admin.post("/admin/licenses/license/add/", NEW | {"organization_id": nobody}).status_code == 302


def test_a_session_writes_with_its_csrf_token_only(license_url: str) -> None:
    strict = Client(headers={"host": "localhost"}, enforce_csrf_checks=True)
    strict.force_login(User.objects.create_user("someone"))
    assert strict.delete(license_url).status_code == 403
    assert License.objects.exists()


def test_whatever_wrote_a_row_it_has_a_new_version(license: License) -> None:
    License.objects.filter(license_id=license.license_id).update(comment="bulk", version=1)
    assert License.objects.get(license_id=license.license_id).version > license.version


def test_the_openapi_document_has_each_operation_once(api: Client) -> None:
    document = api.get("/openapi.json").json()
    ours = {path: operations for path, operations in document["paths"].items() if path.startswith("/v1/")}
    assert list(ours) == [
        "/v1/organization/{organizationId}/license",
        "/v1/organization/{organizationId}/license/{licenseId}",
    ]
    operations: dict[str, Any] = {
        operation["operationId"]: operation for path in ours.values() for operation in path.values()
    }
    assert set(operations) == {
        "listLicenses",
        "createLicense",
        "getLicense",
        "updateLicense",
        "patchLicense",
        "deleteLicense",
    }
    answer = operations["getLicense"]["responses"]
    assert set(answer["200"]["content"]) == {"application/json", "application/hal+json"}
    assert {"Organization-Cache", "Organization-Version", "Organization-Fresh-At", "Age"} <= set(
        answer["200"]["headers"]
    )
    assert {"200", "304", "400", "401", "403", "404", "412", "503"} <= set(answer)


@pytest.mark.parametrize("path", ["/docs", "/health/live", "/health/ready", "/static/rest_framework/css/default.css"])
def test_other_pages_answer(api: Client, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 200
    answer.close()
