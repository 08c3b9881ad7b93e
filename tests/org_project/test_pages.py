"""What people see besides the API itself: the browsable API, the OpenAPI document and its page, static files."""

from typing import Any

import pytest
from django.test import Client

from organizations.models import Organization
from tests.org_project.conftest import url_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_browsable_api_has_forms_that_work(organization: Organization) -> None:
    browser = Client(headers={"accept": "text/html"})
    page = browser.get(url_of(organization)).content.decode()
    assert 'value="Observatory"' in page
    assert 'name="contactEmail"' in page
    answer = browser.generic("PUT", url_of(organization), "name=New", "application/x-www-form-urlencoded")
    assert answer.status_code == 200
    organization.refresh_from_db()
    assert organization.name == "New"
    refused = browser.post("/v1/organization", {"name": "A", "contactEmail": "nobody"})
    assert refused.status_code == 400
    assert "Enter a valid email address." in refused.content.decode()


def test_a_page_of_the_api_has_no_entity_tag_and_its_forms_have(organization: Organization) -> None:
    answer = Client(headers={"accept": "text/html"}).get(url_of(organization))
    assert "ETag" not in answer.headers
    assert f'data-if-match="&quot;{organization.version}&quot;"' in answer.content.decode()


def test_a_form_that_is_refused_keeps_its_condition(organization: Organization) -> None:
    browser = Client(headers={"accept": "text/html"})
    answer = browser.generic(
        "PUT", url_of(organization), "name=Mine", "application/x-www-form-urlencoded", headers={"If-Match": '"17"'}
    )
    page = answer.content.decode()
    assert answer.status_code == 412
    assert 'data-if-match="&quot;17&quot;"' in page


@pytest.mark.parametrize(
    ("path", "sent", "status", "title"),
    [
        ("/no/such/page", None, 404, "Not found"),
        ("/admin/no/such/page", None, 404, "Not found"),
        (
            "/admin/organizations/organization/",
            {f"field{number}": "1" for number in range(1_001)},
            413,
            "Content too large",
        ),
        ("/admin/organizations/organization/add/", None, 403, "Forbidden"),
    ],
)
def test_an_error_is_a_page_with_a_way_back(
    django_user_model: Any, path: str, sent: dict[str, str] | None, status: int, title: str
) -> None:
    browser = Client(headers={"accept": "text/html"})
    browser.force_login(django_user_model.objects.create_user("clerk", is_staff=True, is_superuser=bool(sent)))
    answer = browser.post(path, sent) if sent else browser.get(path)
    page = answer.content.decode()
    assert answer.status_code == status
    assert f"<h1>{title}</h1>" in page
    assert '<a href="/">Start page</a>' in page


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/docs", "text/html"),
        ("/openapi.json", "application/vnd.oai.openapi+json"),
        ("/health/live", "application/json"),
        ("/health/ready", "application/json"),
        ("/static/admin/css/base.css", "text/css"),
        ("/static/rest_framework/css/bootstrap.min.css", "text/css"),
        ("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js", "text/javascript"),
    ],
)
def test_what_else_is_served(api: Client, path: str, content_type: str) -> None:
    answer = api.get(path)
    body = answer.getvalue()
    answer.close()
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(content_type)
    assert body


def test_the_docs_need_no_other_server(api: Client) -> None:
    page = api.get("/docs").content.decode()
    assert "https://" not in page
    assert "/static/drf_spectacular_sidecar/" in page


def test_the_openapi_document_tells_of_headers_and_problems(api: Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    ours = {path for path in paths if path.startswith("/v1/")}
    assert ours == {"/v1/organization", "/v1/organization/{organizationId}"}
    put = paths["/v1/organization/{organizationId}"]["put"]
    names = {each["name"] for each in put["parameters"]}
    assert names == {"If-Match", "If-None-Match", "tmx-correlation-id", "organizationId"}
    assert {"200", "400", "401", "403", "404", "412", "413", "415", "503"} <= set(put["responses"])
    assert {"ETag", "Organization-Version"} <= set(put["responses"]["200"]["headers"])
    assert "application/problem+json" in put["responses"]["412"]["content"]
    assert "Location" in paths["/v1/organization"]["post"]["responses"]["201"]["headers"]
