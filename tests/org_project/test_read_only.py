"""PostgreSQL takes no writes: each write and each login is told to come again, and reads go on."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import close_old_connections
from django.test import Client

from organizations.models import Organization
from tests.event_stream.read_only import read_only
from tests.org_project.conftest import url_of

JSON = "application/json"
LOGIN = {"username": "grace", "password": "right-7391-and-long"}  # pragma: allowlist secret


@pytest.fixture
def browser(django_user_model: Any, transactional_db: None, settings: Any) -> Client:
    """Of a superuser who is logged in. Errors become answers, as outside of tests."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    client = Client(raise_request_exception=False)
    client.force_login(django_user_model.objects.create_superuser("grace", password=LOGIN["password"]))
    return client


@pytest.fixture(autouse=True)
def over(transactional_db: None) -> Iterator[None]:
    """No test leaves its outage to the next."""
    yield
    Client().get("/health/ready")


def finished(answer: Any) -> Any:
    """What a server does after a request, and the test client does not."""
    close_old_connections()
    return answer


def ours(caplog: pytest.LogCaptureFixture) -> list[tuple[str, Any]]:
    found = [record for record in caplog.records if record.levelno >= logging.WARNING or record.name == "service_kit"]
    return [(record.message, record.__dict__.get("fault")) for record in found if not record.name.startswith("django.")]


def test_every_write_and_login_says_when_to_come_again(
    api: Client, browser: Client, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    url, admin = url_of(organization), f"/admin/organizations/organization/{organization.pk}/change/"
    page = browser.get(admin)
    form = {**page.context["adminform"].form.initial, "name": "New", "_save": "1"}
    form["seen_version"] = organization.version
    stranger = Client(raise_request_exception=False)
    with read_only():
        refused = [
            finished(api.patch(url, {"name": "New"}, content_type=JSON)),
            finished(api.put(url, {"name": "New"}, content_type=JSON)),
            finished(api.post("/v1/organization", {"name": "New"}, content_type=JSON)),
            finished(api.delete(url)),
            finished(browser.post(admin, form)),
            finished(stranger.post("/admin/login/", LOGIN)),
            finished(stranger.post("/api-auth/login/", LOGIN)),
            # A wrong password is counted, which is a write.
            finished(stranger.post("/admin/login/", LOGIN | {"password": "wrong"})),  # pragma: allowlist secret
            finished(browser.post("/admin/logout/")),
        ]
        assert finished(api.get(url)).json()["name"] == organization.name
        assert finished(browser.get(admin)).status_code == 200
        ready = finished(api.get("/health/ready"))

    for answer in refused:
        assert (answer.status_code, answer["Retry-After"]) == (503, "5"), answer.content
        assert answer.json()["type"] == "/problems/read-only"
    assert ready.status_code == 200
    assert ready.json().items() >= {"status": "READ_ONLY", "checks": {"database": "READ_ONLY"}}.items()
    assert ours(caplog) == [("database.refuses", "read_only")]
    assert [record.levelname for record in caplog.records if record.name == "django.request"] == []


def test_a_browser_is_shown_a_page(browser: Client) -> None:
    with read_only():
        answer = finished(browser.post("/admin/logout/", headers={"accept": "text/html"}))
    assert answer.status_code == 503
    assert answer["Retry-After"] == "5"
    assert "takes no changes for now" in answer.content.decode()


def test_a_session_from_then_is_dropped(
    api: Client, organization: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service_kit")
    with read_only():
        assert finished(api.patch(url_of(organization), {"name": "New"}, content_type=JSON)).status_code == 503
        # This one's session is read-only for as long as it lives.
        assert finished(api.get(url_of(organization))).status_code == 200
    answers = [finished(api.patch(url_of(organization), {"name": "New"}, content_type=JSON)) for _ in range(2)]

    assert answers[1].status_code == 200
    assert finished(api.get("/health/ready")).json()["status"] == "UP"
    assert [record.message for record in caplog.records] == ["database.refuses", "database.serves"]


def test_a_session_that_can_not_be_written_is_not_called_deleted(browser: Client, settings: Any) -> None:
    settings.SESSION_SAVE_EVERY_REQUEST = True
    with read_only():
        answer = finished(browser.get("/admin/"))
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
