"""Every endpoint of both services, with every kind of caller, over HTTP."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.cluster import ServiceCluster
from devstack.django_commands import LICENSING, manage
from devstack.errors import StackError
from devstack.waiting import wait_until
from tests.e2e.admin import Admin
from tests.e2e.world import DEADLINE_S, LICENSE, ORGANIZATION
from tests.security.forged import FORGED
from tests.security.issuer import SECOND_KEY, Issuer, sign

READ, WRITE, DELETE = "read", "write", "delete"
ALLOWED = {"nobody in particular": {READ}, "USER": {READ, WRITE}, "ADMIN": {READ, WRITE, DELETE}}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`needs`: what the caller has to be allowed to do."""

    service: str
    method: str
    one: bool
    needs: str
    body: dict[str, str] | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.service}{'/{id}' if self.one else ''}"


ENDPOINTS = [
    Endpoint(service, method, one, needs, body)
    for service, whole, part in (
        ("organization", ORGANIZATION, {"contactName": "Ann"}),
        ("license", LICENSE, {"comment": "Changed"}),
    )
    for method, one, needs, body in (
        ("GET", False, READ, None),
        ("HEAD", False, READ, None),
        ("OPTIONS", False, READ, None),
        ("POST", False, WRITE, whole),
        ("GET", True, READ, None),
        ("HEAD", True, READ, None),
        ("OPTIONS", True, READ, None),
        ("PUT", True, WRITE, whole),
        ("PATCH", True, WRITE, part),
        ("DELETE", True, DELETE, None),
    )
]
OPEN = ["/", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/favicon.ico"]
# Longer than gunicorn takes a header: it answers 400 by itself. tests/unit/event_stream/test_web_auth.py has it.
REFUSED = [None, *(what for what in FORGED if what != "too long")]


class Services:
    """Both, and one license of one organization at a time."""

    def __init__(self, platform: ServiceCluster, issuer: Issuer) -> None:
        self.issuer = issuer
        self.organizations = f"{platform.organization_url}/v1/organization"
        self._licensing = f"{platform.licensing_urls[0]}/v1/organization"
        self.http = httpx.Client(timeout=20)
        self.organization = ""
        self.license = ""
        self.make()

    def make(self) -> None:
        created = self.http.post(self.organizations, json=ORGANIZATION, headers=self.bearer(self.issuer.token("USER")))
        self.organization = created.json()["id"]
        licensed = self.http.post(self.licenses, json=LICENSE, headers=self.bearer(self.issuer.token("USER")))
        self.license = licensed.json()["licenseId"]

    @property
    def licenses(self) -> str:
        return f"{self._licensing}/{self.organization}/license"

    def url(self, endpoint: Endpoint) -> str:
        base, id_ = {
            "organization": (self.organizations, self.organization),
            "license": (self.licenses, self.license),
        }[endpoint.service]
        return f"{base}/{id_}" if endpoint.one else base

    def call(self, endpoint: Endpoint, headers: dict[str, str]) -> httpx.Response:
        return self.http.request(endpoint.method, self.url(endpoint), json=endpoint.body, headers=headers)

    def state(self) -> list[Any]:
        """All there is: what a refused call must not have changed."""
        headers = self.bearer(self.issuer.token())
        return [self.http.get(url, headers=headers).json() for url in (self.organizations, self.licenses)]

    @staticmethod
    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}".strip()}


@pytest.fixture(scope="module")
def services(platform: ServiceCluster, issuer: Issuer) -> Iterator[Services]:
    services = Services(platform, issuer)
    with closing(services.http):
        yield services


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_without_a_token_that_is_believed_nobody_gets_in(services: Services, endpoint: Endpoint) -> None:
    before = services.state()
    for what in REFUSED:
        token = None if what is None else FORGED[what](services.issuer)
        answer = services.call(endpoint, {} if token is None else services.bearer(token))
        assert answer.status_code == 401, what
        assert answer.headers["WWW-Authenticate"].startswith("Bearer"), what
        assert ('error="invalid_token"' in answer.headers["WWW-Authenticate"]) is (what is not None), what
        assert answer.headers["Content-Type"] == "application/problem+json", what
        assert answer.headers["Cache-Control"] == "no-store", what
        if endpoint.method != "HEAD":
            assert answer.json()["status"] == 401, what
        assert not token or token not in answer.text, what
    assert services.state() == before


@pytest.mark.parametrize("role", ALLOWED)
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=str)
def test_a_role_may_do_what_is_its_own_and_no_more(services: Services, endpoint: Endpoint, role: str) -> None:
    before = services.state()
    answer = services.call(endpoint, services.bearer(services.issuer.token(role)))
    if endpoint.needs in ALLOWED[role]:
        assert answer.is_success, answer.text
        if endpoint.method == "DELETE":
            services.make()
        return
    assert answer.status_code == 403
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert services.state() == before


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.body], ids=str)
def test_a_chunked_body_is_read_like_any_other(services: Services, endpoint: Endpoint) -> None:
    headers = services.bearer(services.issuer.token("USER")) | {"Content-Type": "application/json"}
    field = {"organization": "contactPhone", "license": "comment"}[endpoint.service]
    body = json.dumps({**(endpoint.body or {}), field: "555 0199"}).encode()

    def send(*chunks: bytes) -> httpx.Response:
        # Without a length httpx sends chunks.
        return httpx.request(
            endpoint.method, services.url(endpoint), content=iter(chunks), headers=headers, timeout=DEADLINE_S
        )

    answer = send(body[:7], body[7:])
    assert answer.is_success, answer.text
    assert answer.json()[field] == "555 0199"
    # One byte more than DATA_UPLOAD_MAX_MEMORY_SIZE.
    too_large = send(b" " * 2_621_441)
    assert (too_large.status_code, too_large.headers["Content-Type"]) == (413, "application/problem+json")


@pytest.mark.parametrize("scheme", ["Basic c29tZWJvZHk6c2VjcmV0", "Token abc", "bearer", "Bearer a, Bearer b"])
def test_other_credentials_are_none(services: Services, scheme: str) -> None:
    assert services.http.get(services.organizations, headers={"Authorization": scheme}).status_code == 401


@pytest.mark.parametrize("path", OPEN)
def test_what_shows_no_data_is_open(services: Services, platform: ServiceCluster, path: str) -> None:
    for url in (platform.organization_url, platform.licensing_urls[0]):
        assert services.http.get(url + path, follow_redirects=True).is_success


@pytest.mark.parametrize("path", ["/traces/some-id", "/traces?key=some-key"])
def test_a_trace_is_for_known_callers(services: Services, platform: ServiceCluster, path: str) -> None:
    for url in (platform.organization_url, platform.licensing_urls[0]):
        stranger = services.http.get(url + path)
        assert (stranger.status_code, stranger.headers["Content-Type"]) == (401, "application/problem+json")
        known = services.http.get(url + path, headers=services.bearer(services.issuer.token()))
        assert (known.status_code, known.headers["Content-Type"]) == (200, "application/json")


def test_a_cached_organization_is_kept_from_a_stranger_too(services: Services) -> None:
    url = f"{services.licenses}/{services.license}"
    good = services.bearer(services.issuer.token())
    services.http.get(url, headers=good)
    answers = [services.http.get(url, headers=headers) for headers in (good, {}, services.bearer("a.b.c"))]
    assert [answer.status_code for answer in answers] == [200, 401, 401]
    assert not [name for name in answers[1].headers if name.lower().startswith("organization-")]
    assert "Authorization" in answers[0].headers["Vary"]
    assert answers[0].headers["Cache-Control"].startswith("private")


def test_the_callers_token_travels_on(services: Services) -> None:
    """The organization service lets nobody in without one, and `no-cache` asks it each time."""
    headers = services.bearer(services.issuer.token(sub="traveller")) | {"Cache-Control": "no-cache"}
    answer = services.http.get(f"{services.licenses}/{services.license}", headers=headers)
    assert answer.status_code == 200
    assert answer.json()["contactName"] == "Ann"


def test_a_key_that_the_issuer_makes_later_is_believed_without_a_restart(services: Services) -> None:
    token = sign(services.issuer.claims(), key=SECOND_KEY, kid="later")
    services.issuer.keys["later"] = SECOND_KEY

    def status() -> int:
        return services.http.get(services.organizations, headers=services.bearer(token)).status_code

    # The tables above have used up what strange keys may cost; the next look is due within 10 s.
    assert wait_until(lambda: status() == 200, within_s=DEADLINE_S)


def test_with_the_issuer_away_everything_goes_on(services: Services) -> None:
    services.issuer.down = True
    try:
        fresh = services.bearer(services.issuer.token("USER", sub="newcomer"))
        assert services.http.get(services.organizations, headers=fresh).status_code == 200
    finally:
        services.issuer.down = False


def test_a_browsers_session_is_a_caller_too(services: Services, platform: ServiceCluster) -> None:
    """Licensing asks under its own name for somebody who has logged in there, and has no token."""
    with Admin(platform.licensing_urls[0]) as admin:
        url = f"{services.licenses}/{services.license}"
        answer = admin.get(url)
    assert answer.status_code == 200
    assert "Ann" in answer.text


def test_a_command_asks_under_the_services_own_name(
    services: Services, platform: ServiceCluster, tmp_path: Path
) -> None:
    headers = services.bearer(services.issuer.token())
    assert services.http.get(f"{services.licenses}/{services.license}", headers=headers).status_code == 200

    def verdicts(settings: dict[str, str]) -> set[str]:
        report = manage(LICENSING, settings, ["cache_audit", "--sweep", "--json"])
        return set(json.loads(report.splitlines()[-1])["counts"])

    assert "UNKNOWN" not in verdicts(platform.licensing_settings)
    refused = tmp_path / "token"
    refused.write_text("a.b.c")
    with pytest.raises(StackError, match="Not checked: the organization service gave no answer"):
        verdicts({**platform.licensing_settings, "ORGANIZATION_TOKEN_FILE": str(refused)})


def test_no_token_is_in_any_log(services: Services, platform: ServiceCluster) -> None:
    token = services.issuer.token("USER", sub="unlogged")
    services.http.get(services.organizations, headers=services.bearer(token))
    services.http.get(services.organizations, headers=services.bearer(token[:-4]))
    for process in platform.processes:
        text = process.log.read_text()
        assert token.split(".")[1] not in text
        assert token.split(".")[2][:40] not in text
