"""Access where AUTH is set: a browser's session by its groups, nobody while no key is known."""

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client

from organizations.models import Organization
from service_kit.auth import AuthSettings
from tests.org_project.conftest import url_of


@pytest.fixture(autouse=True)
def secured(settings: Any) -> None:
    """Nothing listens where the keys should be."""
    settings.AUTH = AuthSettings("https://id.example.org", "ours", "http://127.0.0.1:1/keys")


@pytest.mark.parametrize(
    ("groups", "allowed"),
    [
        ([], {"GET"}),
        (["USER"], {"GET", "PATCH"}),
        (["ADMIN"], {"GET", "PATCH", "DELETE"}),
        (["users"], {"GET"}),
    ],
)
def test_a_session_has_the_roles_of_its_groups(
    organization: Organization, django_user_model: Any, groups: list[str], allowed: set[str]
) -> None:
    user = django_user_model.objects.create_user("somebody")
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    browser = Client()
    browser.force_login(user)
    for method in ("GET", "PATCH", "DELETE"):
        answer = browser.generic(method, url_of(organization), b'{"name": "Renamed"}', "application/json")
        assert (answer.status_code == 403) is (method not in allowed), answer.content
        assert answer.status_code < 400 or answer.status_code == 403


@pytest.mark.parametrize(("role", "may_delete"), [("USER", False), ("ADMIN", True)])
def test_a_role_may_do_in_the_admin_what_it_may_in_the_api(
    organization: Organization, django_user_model: Any, role: str, may_delete: bool
) -> None:
    """The groups are there without anybody's doing."""
    user = django_user_model.objects.create_user("somebody", is_staff=True)
    user.groups.set([Group.objects.get(name=role)])
    browser = Client()
    browser.force_login(user)
    page = f"/admin/organizations/organization/{organization.pk}/"
    form = {"name": "Renamed", "seen_version": organization.version}
    assert browser.post(f"{page}change/", form).status_code == 302
    organization.refresh_from_db()
    assert organization.name == "Renamed"
    assert browser.get("/admin/event_stream_outbox/outboxentry/").status_code == 200
    assert browser.post("/admin/organizations/organization/add/", form | {"name": "New"}).status_code == 302
    assert (browser.post(f"{page}delete/", {"post": "yes"}).status_code == 302) is may_delete
    assert Organization.objects.filter(pk=organization.pk).exists() is not may_delete
    assert browser.get("/admin/auth/user/").status_code == 403


def test_a_right_that_was_taken_from_a_group_comes_back(transactional_db: None) -> None:
    Group.objects.get(name="USER").permissions.clear()
    call_command("migrate", verbosity=0)
    names = Group.objects.get(name="USER").permissions.values_list("codename", flat=True)
    traces = {
        "view_trace",
        "view_handledbatch",
        "view_partitionstate",
        "view_parkedrecord",
        "view_settledrecord",
        "view_cachefill",
    }
    own = {"view_organization", "add_organization", "change_organization", "view_outboxentry"}
    assert set(names) == own | traces


def test_a_superuser_may_do_everything(organization: Organization, boss: Client) -> None:
    assert boss.delete(url_of(organization)).status_code == 204


def test_a_session_writes_with_its_csrf_token_only(organization: Organization, boss: Client) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.cookies = boss.cookies
    answer = browser.delete(url_of(organization))
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["detail"]
    assert Organization.objects.filter(pk=organization.pk).exists()


def test_a_bad_token_is_not_made_good_by_a_session(organization: Organization, boss: Client) -> None:
    answer = boss.get(url_of(organization), headers={"Authorization": "Bearer a.b.c"})
    assert answer.status_code == 401


def test_a_user_who_was_locked_out_is_nobody(organization: Organization, boss: Client, django_user_model: Any) -> None:
    django_user_model.objects.update(is_active=False)
    assert boss.get(url_of(organization)).status_code == 401


def test_a_stranger_is_asked_for_a_token(organization: Organization, api: Client) -> None:
    answer = api.get(url_of(organization))
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_without_a_key_a_token_is_neither_good_nor_bad(organization: Organization, api: Client) -> None:
    header = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ"
    answer = api.get(url_of(organization), headers={"Authorization": f"Bearer {header}.e30.AAAA"})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "10"
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_browser_gets_a_page_that_leads_to_the_login(
    organization: Organization, api: Client, django_user_model: Any
) -> None:
    answer = api.get(url_of(organization), headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert answer.headers["Content-Type"].startswith("text/html")
    login = f"/api-auth/login/?next={url_of(organization)}"
    assert f"href='{login}'" in answer.content.decode()
    django_user_model.objects.create_user("somebody", password="only-for-tests-7391")
    sent = api.post(login, {"username": "somebody", "password": "only-for-tests-7391"}, follow=True)
    assert sent.redirect_chain == [(url_of(organization), 302)]
    assert sent.status_code == 200


def test_the_document_says_how_to_get_in(api: Client) -> None:
    document = api.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["bearer"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    assert {"401", "403"} <= set(document["paths"]["/v1/organization"]["post"]["responses"])
