"""Entity tags: no lost update, no needless body."""

import pytest
from django.test import Client

from licenses.models import License
from tests.licensing_project.organization_service import NASA, OrganizationService

pytestmark = pytest.mark.django_db


def test_the_tag_changes_with_the_license_and_with_the_organization(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    first = api.get(license_url)["ETag"]
    assert api.get(license_url)["ETag"] == first
    organization_service.put(NASA, name="National Aeronautics and Space Administration")
    second = api.get(license_url, headers={"cache-control": "no-cache"})["ETag"]
    api.patch(license_url, {"comment": "changed"}, content_type="application/json")
    third = api.get(license_url)["ETag"]
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("accept", ["application/json", "application/hal+json"])
def test_a_client_that_has_it_gets_no_body(api: Client, license_url: str, accept: str) -> None:
    tag = api.get(license_url, headers={"accept": accept})["ETag"]
    answer = api.get(license_url, headers={"accept": accept, "if-none-match": f'"other", W/{tag}'})
    assert (answer.status_code, answer.content, answer["ETag"]) == (304, b"", tag)
    assert "Content-Type" not in answer
    assert answer["Organization-Cache"] == "hit"
    assert api.get(license_url, headers={"accept": accept, "if-none-match": '"other"'}).status_code == 200


def test_each_media_type_has_a_tag_of_its_own(api: Client, license_url: str) -> None:
    tag = api.get(license_url)["ETag"]
    answer = api.get(license_url, headers={"accept": "application/hal+json", "if-none-match": tag})
    assert answer.status_code == 200


def test_a_page_has_no_tag_and_is_asked_for_anew(admin_client: Client, license_url: str) -> None:
    tags = [
        admin_client.get(license_url, headers={"accept": f"application/{kind}"})["ETag"]
        for kind in ("json", "hal+json")
    ]
    for path in (license_url, license_url.rpartition("/")[0]):
        page = admin_client.get(path, headers={"accept": "text/html", "if-none-match": ", ".join(tags)})
        assert (page.status_code, page["Cache-Control"]) == (200, "private, no-store")
        assert page["Content-Type"].startswith("text/html")
        assert "ETag" not in page
        assert {"Accept", "Authorization", "Cookie"} <= {name.strip() for name in page["Vary"].split(",")}


def test_a_lost_update_is_refused(api: Client, license: License, license_url: str) -> None:
    read = api.get(license_url)["ETag"]

    def patch(comment: str) -> int:
        answer = api.patch(
            license_url, {"comment": comment}, content_type="application/json", headers={"if-match": read}
        )
        return answer.status_code

    assert patch("first") == 200
    assert patch("second") == 412
    assert api.delete(license_url, headers={"if-match": read}).status_code == 412
    license.refresh_from_db()
    assert license.comment == "first"


def test_a_change_of_the_organization_is_no_lost_update(
    api: Client, license_url: str, organization_service: OrganizationService
) -> None:
    read = api.get(license_url)["ETag"]
    organization_service.put(NASA, contactName="Another")
    answer = api.patch(license_url, {"comment": "mine"}, content_type="application/json", headers={"if-match": read})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("header", "status"), [("*", 200), ("17", 400), ("", 400), ('W/"1-1"', 412), ('"1-1", "2-2"', 412)]
)
def test_other_forms_of_if_match(api: Client, license_url: str, header: str, status: int) -> None:
    answer = api.patch(license_url, {"comment": "x"}, content_type="application/json", headers={"if-match": header})
    assert answer.status_code == status


@pytest.mark.parametrize("accept", ["application/json", "application/hal+json"])
def test_a_write_is_refused_to_the_version_that_is_excluded(api: Client, license_url: str, accept: str) -> None:
    tag = api.get(license_url, headers={"accept": accept})["ETag"]
    for excluded in (tag, f"W/{tag}", f'"x", {tag}'):
        headers = {"if-none-match": excluded}
        patched = api.patch(license_url, {"comment": "x"}, content_type="application/json", headers=headers)
        assert (patched.status_code, api.delete(license_url, headers=headers).status_code) == (412, 412)
    assert api.get(license_url, headers={"accept": accept, "if-match": tag}).status_code == 200
    assert api.get(license_url, headers={"accept": accept, "if-match": '"1-1"'}).status_code == 412
    assert api.delete(license_url, headers={"if-none-match": '"1-1"'}).status_code == 204
