"""Wrong passwords are counted by who really calls; the way back from a login leads nowhere else."""

import re
from typing import Any

import pytest
from django.test import Client, RequestFactory

from service_kit.logins import client_address

PASSWORD = "right-7391-and-long"
LOGINS = ("/admin/login/", "/api-auth/login/")
GATEWAY, STRANGER = "127.0.0.1", "203.0.113.9"


@pytest.fixture(autouse=True)
def person(settings: Any, django_user_model: Any, transactional_db: None) -> None:
    settings.AXES_FAILURE_LIMIT = 3
    # A good one takes half a second, and no test is about it.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    django_user_model.objects.create_superuser("grace", password=PASSWORD)


def log_in(password: str, *, peer: str = GATEWAY, forwarded: str = "", **fields: str) -> Any:
    """The answer to the form of a new browser."""
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    fields = {"username": "grace", "password": password, **fields}
    accept = {"accept": "text/html", **headers}
    return Client(REMOTE_ADDR=peer, headers=accept).post("/admin/login/?next=/admin/", fields)


def test_too_many_wrong_passwords_end_in_a_clear_answer() -> None:
    assert [log_in("wrong", forwarded="198.51.100.1").status_code for _ in range(3)] == [200, 200, 429]

    right = log_in(PASSWORD, forwarded="198.51.100.1")

    assert right.status_code == 429
    assert right["Retry-After"] == "900"
    assert "Too many logins have failed from this address" in right.content.decode()
    assert "sessionid" not in right.cookies
    assert "organization_session" not in right.cookies


@pytest.mark.parametrize("login", LOGINS)
def test_a_program_is_answered_with_a_problem(login: str) -> None:
    client = Client(REMOTE_ADDR=STRANGER, headers={"accept": "application/json"})
    answers = [client.post(login, {"username": "grace", "password": "wrong"}) for _ in range(3)]

    assert answers[-1].status_code == 429
    assert answers[-1]["Content-Type"] == "application/problem+json"
    assert answers[-1].json()["type"] == "/problems/too-many-requests"


def test_another_name_does_not_help() -> None:
    for number in range(3):
        log_in("wrong", forwarded="198.51.100.1", username=f"guess-{number}")

    assert log_in(PASSWORD, forwarded="198.51.100.1").status_code == 429


def test_behind_the_gateway_the_client_is_counted_and_not_the_gateway() -> None:
    for _ in range(4):
        log_in("wrong", forwarded="198.51.100.1")

    assert log_in(PASSWORD, forwarded="198.51.100.1").status_code == 429
    assert log_in(PASSWORD, forwarded="198.51.100.2").status_code == 302


def test_who_is_no_gateway_can_not_take_another_ones_address() -> None:
    for number in range(4):
        log_in("wrong", peer=STRANGER, forwarded=f"198.51.100.{number}")

    assert log_in(PASSWORD, peer=STRANGER, forwarded="198.51.100.9").status_code == 429
    # Nor lock somebody else out.
    assert log_in(PASSWORD, forwarded="198.51.100.1").status_code == 302


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        (GATEWAY, "198.51.100.1", "198.51.100.1"),
        (GATEWAY, "10.0.0.1, 198.51.100.1", "198.51.100.1"),
        (GATEWAY, "2001:db8::1", "2001:db8::1"),
        (GATEWAY, "nobody", GATEWAY),
        (GATEWAY, "198.51.100.1, ", GATEWAY),
        (GATEWAY, "1" * 5000, GATEWAY),
        (GATEWAY, "\x00", GATEWAY),
        ("::ffff:127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("fe80::1%eth0", "198.51.100.1", "fe80::1"),
        (STRANGER, "198.51.100.1", STRANGER),
        ("", "198.51.100.1", None),
    ],
)
def test_the_callers_address(peer: str, forwarded: str, address: str | None) -> None:
    request = RequestFactory(REMOTE_ADDR=peer, headers={"x-forwarded-for": forwarded}).get("/")

    assert client_address(request) == address


@pytest.mark.parametrize(
    "fields",
    [
        {"username": "\x00"},
        {"username": "x" * 10_000},
        {"username": "\N{ROCKET}' OR 1=1 --"},
        {"username": ""},
        {"password": "\x00" * 100},
    ],
)
def test_strange_names_are_no_fault_of_the_service(fields: dict[str, str]) -> None:
    assert log_in(**{"password": "wrong", **fields}).status_code in {200, 429}


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https:evil.example",
        "javascript:alert(1)",
        "http://testserver@evil.example/",
        "/%0d%0aLocation:%20https://evil.example",
        "/\r\nLocation: https://evil.example",
        "\x00//evil.example",
    ],
)
@pytest.mark.parametrize("login", LOGINS)
def test_a_login_leads_nowhere_else(login: str, elsewhere: str) -> None:
    client = Client(REMOTE_ADDR=GATEWAY)
    answer = client.post(login, {"username": "grace", "password": PASSWORD, "next": elsewhere})

    assert answer.status_code == 302
    assert answer["Location"].startswith("/")
    assert not answer["Location"].startswith(("//", "/\\"))
    assert "\n" not in answer["Location"]
    assert {name for name, _value in answer.items()} & {"Location"} == {"Location"}


def test_by_https_cookies_are_for_https_and_a_form_is_taken_from_this_origin_only(settings: Any) -> None:
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    browser = Client(enforce_csrf_checks=True)
    page = browser.get("/admin/login/", secure=True)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.content.decode())
    assert token
    fields = {"username": "grace", "password": PASSWORD, "csrfmiddlewaretoken": token[1]}

    def send(**headers: str) -> Any:
        return browser.post("/admin/login/", fields, secure=True, headers=headers)

    assert send(origin="https://evil.example").status_code == 403
    assert send(referer="https://evil.example/").status_code == 403
    assert send(origin="http://testserver").status_code == 403
    answer = send(origin="https://testserver")

    assert answer.status_code == 302
    cookies = {**page.cookies, **answer.cookies}
    assert {"organization_session", "organization_csrf"} <= set(cookies)
    for cookie in cookies.values():
        assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
