"""The contract of the REST API, request by request."""

import json
import time
import uuid
from typing import Any

import pytest
from django.test import Client

from organizations.models import Organization
from tests.org_project.conftest import url_of

JSON = "application/json"
UNKNOWN = uuid.UUID("99999999-9999-4999-8999-999999999999")

pytestmark = pytest.mark.django_db(transaction=True)


def as_json(organization: Organization) -> dict[str, str]:
    return {
        "id": str(organization.pk),
        "name": organization.name,
        "contactName": organization.contact_name,
        "contactEmail": organization.contact_email,
        "contactPhone": organization.contact_phone,
    }


def assert_current(answer: Any, organization: Organization) -> None:
    """The answer's body and headers are those of the organization as it is in the database."""
    organization.refresh_from_db()
    assert answer.json() == as_json(organization)
    assert answer.headers["Organization-Version"] == str(organization.version)
    assert answer.headers["ETag"] == f'"{organization.version}"'


def assert_problem(answer: Any, status: int, kind: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == f"/problems/{kind}"
    assert problem["status"] == status
    assert problem["correlationId"] == answer.headers["tmx-correlation-id"]
    return problem


SLASHES = pytest.mark.parametrize("slash", ["", "/"])


@SLASHES
def test_create(api: Client, slash: str) -> None:
    sent = {"name": " 서울대학교 ", "contactEmail": "office@example.org", "contactPhone": "+82 (2) 880-5114 ext. 7"}
    answer = api.post(f"/v1/organization{slash}", {**sent, "id": str(UNKNOWN)}, content_type=JSON)
    assert answer.status_code == 201
    created = Organization.objects.get()
    assert_current(answer, created)
    assert created.name == "서울대학교"
    assert created.pk != UNKNOWN
    assert answer.headers["Location"] == f"http://testserver{url_of(created)}"
    assert_current(api.get(answer.headers["Location"]), created)


@SLASHES
def test_read(api: Client, organization: Organization, slash: str) -> None:
    answer = api.get(f"{url_of(organization)}{slash}")
    assert answer.status_code == 200
    assert_current(answer, organization)
    assert "no-cache" in answer.headers["Cache-Control"]


def test_the_id_may_be_in_upper_case(api: Client, organization: Organization) -> None:
    assert_current(api.get(f"/v1/organization/{str(organization.pk).upper()}"), organization)


@SLASHES
def test_replace_empties_what_is_left_out(api: Client, organization: Organization, slash: str) -> None:
    answer = api.put(f"{url_of(organization)}{slash}", {"name": "New"}, content_type=JSON)
    assert answer.status_code == 200
    assert_current(answer, organization)
    assert as_json(organization) == {
        "id": str(organization.pk),
        "name": "New",
        "contactName": "",
        "contactEmail": "",
        "contactPhone": "",
    }


@SLASHES
def test_patch_leaves_what_is_left_out(api: Client, organization: Organization, slash: str) -> None:
    answer = api.patch(f"{url_of(organization)}{slash}", {"contactName": "Desk"}, content_type=JSON)
    assert answer.status_code == 200
    assert_current(answer, organization)
    assert (organization.name, organization.contact_name) == ("Observatory", "Desk")


@SLASHES
def test_delete(api: Client, organization: Organization, slash: str) -> None:
    answer = api.delete(f"{url_of(organization)}{slash}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert int(answer.headers["Organization-Version"]) > organization.version
    assert not Organization.objects.exists()
    assert_problem(api.delete(url_of(organization)), 404, "not-found")


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
def test_an_unknown_organization_is_404_and_never_made(api: Client, method: str) -> None:
    answer = getattr(api, method)(url_of(UNKNOWN), {"name": "A"}, content_type=JSON)
    assert_problem(answer, 404, "not-found")
    assert 0 < int(answer.headers["Organization-Version"]) < time.time() * 1_000_000
    assert not Organization.objects.exists()


@pytest.mark.parametrize("path", ["abc", "1", f"{UNKNOWN}x", "%00", f"{UNKNOWN}/x", "..%2f"])
def test_what_is_no_id_is_404(api: Client, path: str) -> None:
    assert_problem(api.get(f"/v1/organization/{path}"), 404, "not-found")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": None}, "name"),
        ({"name": ["A"]}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\u0000b"}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\u2028b"}, "name"),
        ({"name": "a\ud800b"}, "name"),
        ({"name": "A", "contactName": "x" * 201}, "contactName"),
        ({"name": "A", "contactEmail": "nobody"}, "contactEmail"),
        ({"name": "A", "contactEmail": "a@b"}, "contactEmail"),
        ({"name": "A", "contactEmail": f"{'x' * 250}@example.org"}, "contactEmail"),
        ({"name": "A", "contactPhone": "call me"}, "contactPhone"),
        ({"name": "A", "contactPhone": "12"}, "contactPhone"),
        ({"name": "A", "contactPhone": "1" * 16}, "contactPhone"),
        ({"name": "A", "contactPhone": "12+34567"}, "contactPhone"),
        ({"name": "A", "contactPhone": "+1 202 555 \u0660\u0661"}, "contactPhone"),
        ([], ""),
        ("A", ""),
        (None, ""),
    ],
)
@pytest.mark.parametrize("method", ["post", "put"])
def test_what_is_not_valid_is_named(
    api: Client, organization: Organization, method: str, body: Any, field: str
) -> None:
    url = "/v1/organization" if method == "post" else url_of(organization)
    answer = api.generic(method.upper(), url, json.dumps(body), JSON)
    problem = assert_problem(answer, 400, "validation")
    assert {error["field"] for error in problem["errors"]} == {field}
    assert Organization.objects.get().version == organization.version


@pytest.mark.parametrize(
    "phone",
    ["", "112", "+442079460018", "+44 (0)20 7946-0018", "(02) 880-5114", "202-555-0100 ext 12", "+1 202 555 0100 x9"],
)
def test_phone_numbers_as_people_write_them(api: Client, phone: str) -> None:
    answer = api.post("/v1/organization", {"name": "A", "contactPhone": phone}, content_type=JSON)
    assert (answer.status_code, answer.json()["contactPhone"]) == (201, phone)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "kind"),
    [
        (b"{", JSON, 400, "malformed"),
        (b"\xff", JSON, 400, "malformed"),
        (b"[" * 100_000, JSON, 400, "malformed"),
        (b"<a/>", "application/xml", 415, "unsupported-media-type"),
        (b'"' + b"x" * 3_000_000 + b'"', JSON, 413, "content-too-large"),
    ],
)
def test_what_can_not_be_read(api: Client, body: bytes, content_type: str, status: int, kind: str) -> None:
    assert_problem(api.generic("POST", "/v1/organization", body, content_type), status, kind)


def test_the_id_of_the_body_must_be_the_paths(api: Client, organization: Organization) -> None:
    body = {"id": str(UNKNOWN), "name": "New"}
    problem = assert_problem(api.put(url_of(organization), body, content_type=JSON), 400, "validation")
    assert problem["errors"][0]["field"] == "id"


@pytest.mark.parametrize("spelling", [str, lambda id: str(id).upper(), "{{{}}}".format, "urn:uuid:{}".format])
def test_the_id_of_the_body_may_be_in_any_spelling(api: Client, organization: Organization, spelling: Any) -> None:
    body = {"id": spelling(organization.pk), "name": "New"}
    assert api.put(url_of(organization), body, content_type=JSON).status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_if_match_lets_only_the_current_version_be_written(
    api: Client, organization: Organization, method: str
) -> None:
    write = getattr(api, method)
    body = {"name": "New"}
    current = f'"{organization.version}"'
    stale = write(url_of(organization), body, content_type=JSON, headers={"If-Match": '"17"'})
    assert_problem(stale, 412, "precondition-failed")
    assert stale.headers["ETag"] == current
    assert_problem(write(url_of(organization), body, content_type=JSON, headers={"If-Match": "17"}), 400, "bad-request")
    assert Organization.objects.get().version == organization.version
    tags = {"If-Match": f'"17", {current}'}
    assert write(url_of(organization), body, content_type=JSON, headers=tags).status_code in {200, 204}


def test_if_none_match_spares_the_body(api: Client, organization: Organization) -> None:
    tag = f'"{organization.version}"'
    answer = api.get(url_of(organization), headers={"If-None-Match": f'"17", W/{tag}'})
    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", tag)
    assert answer.headers["Organization-Version"] == str(organization.version)
    organization.save()
    assert api.get(url_of(organization), headers={"If-None-Match": tag}).status_code == 200


def test_the_list_is_in_pages_by_name(api: Client) -> None:
    Organization.objects.bulk_create([Organization(name=f"Organization {number:02d}") for number in range(25)])
    first = api.get("/v1/organization").json()
    assert (first["count"], len(first["results"]), first["previous"]) == (25, 20, None)
    rest = api.get(first["next"]).json()
    names = [each["name"] for each in first["results"] + rest["results"]]
    assert names == sorted(names)
    assert len(set(names)) == 25
    assert len(api.get("/v1/organization/?size=7&page=4").json()["results"]) == 4
    assert_problem(api.get("/v1/organization?page=3"), 404, "not-found")


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "size=0", "size=1000", "size=x", "search=%00", "page=9" + "9" * 30]
)
def test_what_the_list_can_not_answer(api: Client, query: str) -> None:
    answer = api.get(f"/v1/organization?{query}")
    assert answer.status_code in {400, 404}
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_search_wants_every_word(api: Client) -> None:
    Organization.objects.bulk_create(
        [
            Organization(name="Institute of Optics", contact_name="Registry Office"),
            Organization(name="Institute of Botany", contact_email="optics@example.org"),
            Organization(name="100% Metrology"),
        ]
    )

    def names(search: str) -> list[str]:
        return [each["name"] for each in api.get("/v1/organization", {"search": search}).json()["results"]]

    assert names("OPTICS") == ["Institute of Botany", "Institute of Optics"]
    assert names("optics registry") == ["Institute of Optics"]
    assert names("%") == ["100% Metrology"]
    assert names("_") == []


def test_methods_that_are_not_there(api: Client, organization: Organization) -> None:
    assert_problem(api.post(url_of(organization), {}, content_type=JSON), 405, "method-not-allowed")
    assert_problem(api.delete("/v1/organization"), 405, "method-not-allowed")


def test_the_correlation_id_comes_back(api: Client, organization: Organization) -> None:
    given = api.get(url_of(organization), headers={"tmx-correlation-id": "order-66"})
    assert given.headers["tmx-correlation-id"] == "order-66"
    assert api.get(url_of(organization)).headers["tmx-correlation-id"]
    replaced = api.get(url_of(organization), headers={"tmx-correlation-id": "a b"})
    assert replaced.headers["tmx-correlation-id"] != "a b"
    assert "tmx-correlation-id-replaced" in replaced.headers


def test_a_read_is_one_query(api: Client, organization: Organization, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        api.get(url_of(organization))


def test_a_page_has_no_tag_and_is_asked_for_anew(boss: Client) -> None:
    """A browser asks for it with the tag of the JSON that it has of the same URL, whoever is logged in by now."""
    url = f"/v1/organization/{Organization.objects.create(name='A').pk}"
    answer = boss.get(url)
    tag = answer["ETag"]
    assert {"Accept", "Authorization", "Cookie"} <= {name.strip() for name in answer["Vary"].split(",")}
    for path in (url, "/v1/organization"):
        page = boss.get(path, headers={"accept": "text/html", "if-none-match": f'{tag}, "*"'})
        assert page.status_code == 200
        assert page["Content-Type"].startswith("text/html")
        assert "ETag" not in page
        assert page["Cache-Control"] == "private, no-store"
    assert boss.get(url, headers={"accept": "application/json", "if-none-match": tag}).status_code == 304
