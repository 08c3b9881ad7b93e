"""Both services behind a real nginx: one port, true links, one correlation id, and nothing shown that is internal."""

import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from devstack import json_log
from devstack.cluster import ServiceCluster
from devstack.environment import ROOT
from devstack.issuer import make_issuer
from devstack.nginx import Nginx, NginxMissing
from devstack.ports import free_port
from devstack.servers import Servers
from tests.e2e.admin import ADMIN, PASSWORD, USER
from tests.e2e.page_findings import findings
from tests.e2e.screen import Console
from tests.e2e.world import own_databases, redis_database

ORGANIZATION = {"name": "Acme", "contactName": "Ann", "contactEmail": "ann@example.org", "contactPhone": "+1 555 0100"}
LICENSE = {"productName": "Ostock", "licenseType": "full"}


@dataclass(frozen=True)
class Gateway:
    """The running gateway, and what stands behind it."""

    nginx: Nginx
    platform: ServiceCluster
    client: httpx.Client

    @property
    def url(self) -> str:
        return self.nginx.url()

    def logged(self, process: Any, correlation_id: str) -> dict[str, Any] | None:
        """A line of the process's log in this transaction; None if none comes."""
        return json_log.wait_for_entry(
            process.log, lambda entry: entry.get("correlation_id") == correlation_id, within_s=10
        )


@pytest.fixture(scope="module")
def gateway(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    organization_port, licensing_port, port = free_port(), free_port(), free_port()
    try:
        nginx = Nginx(
            folder / "nginx",
            organization_port=organization_port,
            licensing_port=licensing_port,
            port=port,
            settings={"GATEWAY_ADMIN_FROM": "127.0.0.0/8"},
        )
    except NginxMissing as missing:
        pytest.skip(str(missing))
    platform = ServiceCluster(
        servers,
        folder,
        workers=0,
        org_port=organization_port,
        licensing_ports=[licensing_port],
        topic=f"gateway-{uuid.uuid4().hex}",
        databases=own_databases("gateway", servers.binder),
        redis_url=redis_database(servers.redis_url, 10),
        settings={"ACCESS_LOG": "true", "WEB_CONCURRENCY": "1", "LOGIN_FAILURE_LIMIT": "3"},
        # As deployed: licensing, too, asks through the gateway.
        asked_at=f"{nginx.url()}/organization",
        issuer=make_issuer(folder / "issuer"),
    )
    platform.prepare(admin=ADMIN)
    headers = platform.authorization("ADMIN")
    with platform, nginx, httpx.Client(base_url=nginx.url(), headers=headers, timeout=20) as client:
        yield Gateway(nginx, platform, client)


@pytest.fixture(scope="module")
def organization(gateway: Gateway) -> str:
    """The path of an organization through the gateway."""
    created = gateway.client.post("/organization/v1/organization", json=ORGANIZATION)
    assert created.status_code == 201, created.text
    return f"/organization/v1/organization/{created.json()['id']}"


def problem_of(response: httpx.Response) -> dict[str, Any]:
    assert response.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body["status"] == response.status_code
    assert body["correlationId"] == response.headers["tmx-correlation-id"]
    assert {"type", "title", "detail"} <= set(body)
    return body


def test_the_path_is_the_services_below_the_prefix(gateway: Gateway, organization: str) -> None:
    assert gateway.client.get(organization).json()["name"] == "Acme"
    direct = organization.removeprefix("/organization")
    past = httpx.get(gateway.platform.organization_url + direct, headers=gateway.platform.authorization())
    assert past.json()["name"] == "Acme"


def test_a_lookup_goes_twice_through_the_gateway_in_one_transaction(gateway: Gateway, organization: str) -> None:
    licenses = f"/license/v1/organization/{organization.rpartition('/')[2]}/license"
    created = gateway.client.post(licenses, json=LICENSE)
    assert created.status_code == 201, created.text

    answer = gateway.client.get(
        f"{licenses}/{created.json()['licenseId']}",
        # Not out of the cache, so that the organization service is asked.
        headers={"tmx-correlation-id": "order-17", "Cache-Control": "no-cache"},
    )

    def passed(path: str) -> bool:
        """Whether the gateway has a line for that path in this transaction."""
        return bool(
            json_log.wait_for_entry(
                gateway.nginx.log,
                lambda entry: entry["path"] == path and entry["correlation_id"] == "order-17",
                within_s=10,
            )
        )

    assert answer.json()["contactName"] == "Ann"
    assert answer.headers["tmx-correlation-id"] == "order-17"
    for process in (gateway.platform.organization, *gateway.platform.licensing):
        assert gateway.logged(process, "order-17"), process.name
    # The caller's own request, and licensing's.
    assert passed(f"{licenses}/{created.json()['licenseId']}")
    assert passed(organization)


def test_an_id_is_minted_at_the_gateway_and_is_the_services_too(gateway: Gateway, organization: str) -> None:
    minted = gateway.client.get(organization).headers["tmx-correlation-id"]

    # nginx's own, and not a UUID of the service's.
    assert re.fullmatch("[0-9a-f]{32}", minted)
    assert gateway.logged(gateway.nginx, minted)
    assert gateway.logged(gateway.platform.organization, minted)


def test_a_bad_id_is_the_services_to_replace(gateway: Gateway, organization: str) -> None:
    answer = gateway.client.get(organization, headers={"tmx-correlation-id": 'a"b c'})

    assert uuid.UUID(answer.headers["tmx-correlation-id"])
    assert "tmx-correlation-id-replaced" in answer.headers
    # The gateway's log goes by what became of it.
    assert gateway.logged(gateway.nginx, answer.headers["tmx-correlation-id"])


def test_absolute_links_lead_back_through_the_gateway(gateway: Gateway, organization: str) -> None:
    gateway.client.post("/organization/v1/organization", json={**ORGANIZATION, "name": "Second"})
    page = gateway.client.get("/organization/v1/organization", params={"size": 1}).json()
    assert page["next"].startswith(f"{gateway.url}/organization/v1/organization?")
    assert gateway.client.get(page["next"]).status_code == 200

    licenses = f"/license/v1/organization/{organization.rpartition('/')[2]}/license"
    license_id = gateway.client.post(licenses, json=LICENSE).json()["licenseId"]
    hal = gateway.client.get(f"{licenses}/{license_id}", headers={"Accept": "application/hal+json"}).json()
    assert hal["_links"]["self"]["href"] == f"{gateway.url}{licenses}/{license_id}"
    assert gateway.client.get(hal["_links"]["self"]["href"]).status_code == 200


@pytest.mark.parametrize("prefix", ["/organization", "/license"])
def test_the_admin_works_below_the_prefix(gateway: Gateway, prefix: str) -> None:
    login = gateway.client.get(f"{prefix}/admin/", follow_redirects=True)

    assert login.status_code == 200
    assert login.url.path == f"{prefix}/admin/login/"
    stylesheets = re.findall(r'<link[^>]+href="([^"]+\.css)"', login.text)
    assert stylesheets
    for stylesheet in stylesheets:
        assert stylesheet.startswith(f"{prefix}/static/")
        assert gateway.client.get(stylesheet).status_code == 200
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', login.text)
    assert token
    sent = gateway.client.post(
        login.url,
        data={"csrfmiddlewaretoken": token[1], "username": "nobody", "password": "wrong"},
        headers={"Origin": gateway.url},
    )
    # The form came back: the origin was accepted, the password was not.
    assert sent.status_code == 200
    assert "errornote" in sent.text


@pytest.mark.parametrize("prefix", ["/organization", "/license"])
def test_wrong_passwords_are_counted_by_client_and_not_by_gateway(gateway: Gateway, prefix: str) -> None:
    def log_in(caller: str, password: str, **headers: str) -> int:
        transport = httpx.HTTPTransport(local_address=caller)
        with httpx.Client(transport=transport, base_url=gateway.url, timeout=20, headers=headers) as client:
            login = client.get(f"{prefix}/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', login.text)
            assert token
            fields = {"csrfmiddlewaretoken": token[1], "username": USER, "password": password}
            return client.post(login.url, data=fields).status_code

    try:
        guesses = [log_in("127.0.0.2", "wrong", **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(4)]
    except httpx.ConnectError as error:
        pytest.skip(f"this machine does not have 127.0.0.2: {error}")

    assert guesses[-1] == 429
    assert log_in("127.0.0.2", PASSWORD) == 429
    assert log_in("127.0.0.3", PASSWORD) == 302


@pytest.mark.parametrize("prefix", ["/organization", "/license"])
def test_a_browser_works_below_the_prefix(gateway: Gateway, organization: str, screen: Console, prefix: str) -> None:
    """Log in, change something, look around: under the gateway's policy the browser has nothing to complain of."""
    page = screen.page
    screen.log_in(f"{gateway.url}{prefix}/admin/")
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    page.get_by_role("link", name="Users").click()
    page.get_by_role("link", name="admin", exact=True).click()
    page.get_by_label("First name").fill("Grace")
    page.get_by_role("button", name="Save and continue editing").click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    apis = {
        "/organization": organization,
        "/license": f"/license/v1/organization/{organization.rpartition('/')[2]}/license",
    }
    screen.open(gateway.url + apis[prefix])
    expect(page.locator(".response-info")).to_contain_text("HTTP 200 OK")
    screen.open(f"{gateway.url}{prefix}/docs")
    page.locator(".opblock-get").first.click()
    page.get_by_role("button", name="Try it out").click()
    expect(page.get_by_role("button", name="Execute")).to_be_visible()

    service = {"/organization": "organization", "/license": "licensing"}[prefix]
    assert set(cookies) == {f"{service}_session", f"{service}_csrf"}
    assert {(cookie["httpOnly"], cookie["sameSite"]) for cookie in cookies.values()} == {(True, "Lax")}


@pytest.mark.parametrize("prefix", ["/organization", "/license"])
def test_the_documentation_works_below_the_prefix(gateway: Gateway, prefix: str) -> None:
    page = gateway.client.get(f"{prefix}/docs")
    assert page.status_code == 200
    script = re.search(r'src="([^"]+script=)"', page.text)
    assert script
    assert f"{prefix}/openapi.json" in gateway.client.get(script[1]).text.replace("\\u002D", "-")
    assert gateway.client.get(f"{prefix}/openapi.json").json()["openapi"].startswith("3.")
    assert gateway.client.get(f"{prefix}/").headers["Location"] == f"{prefix}/docs"


def test_what_is_internal_is_not_there_from_outside(gateway: Gateway) -> None:
    assert problem_of(gateway.client.get("/organization/health/ready"))["type"] == "/problems/not-found"
    assert httpx.get(f"{gateway.platform.organization_url}/health/ready").status_code == 200


FORGED = {
    "SCRIPT_NAME": "/evil",
    "X-Forwarded-For": "10.9.9.9",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Ssl": "on",
}


def test_nobody_can_pretend_to_be_the_gateway_through_it(gateway: Gateway, organization: str) -> None:
    page = gateway.client.get("/organization/v1/organization?size=1", headers=FORGED).json()

    assert page["next"].startswith(f"{gateway.url}/organization/v1/organization?")


def test_nobody_can_pretend_to_be_the_gateway_beside_it(gateway: Gateway, organization: str) -> None:
    """A direct caller, who is not at an address of FORWARDED_ALLOW_IPS."""
    try:
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        with httpx.Client(transport=transport, base_url=gateway.platform.organization_url) as stranger:
            forged = FORGED | gateway.platform.authorization()
            page = stranger.get("/v1/organization?size=1", headers=forged).json()
            below = stranger.get("/evil/v1/organization", headers=forged)
    except httpx.ConnectError as error:
        pytest.skip(f"this machine does not have 127.0.0.2: {error}")

    assert page["next"].startswith(f"{gateway.platform.organization_url}/v1/organization?")
    assert below.status_code == 404


def test_a_services_own_problem_is_passed_on_as_it_is(gateway: Gateway) -> None:
    path = f"/organization/v1/organization/{uuid.uuid4()}"

    answer = gateway.client.get(path)

    assert problem_of(answer)["instance"] == path
    assert answer.headers["Organization-Version"].isdigit()


def test_a_path_of_no_service_is_a_problem(gateway: Gateway) -> None:
    assert problem_of(gateway.client.get("/elsewhere", headers={"tmx-correlation-id": "order-17"})) == {
        "type": "/problems/not-found",
        "title": "Not found",
        "detail": "No service has this path: the gateway knows /organization/ and /license/, written just so.",
        "status": 404,
        "correlationId": "order-17",
    }


def test_the_start_page_leads_to_both_services_and_so_does_a_page_that_is_not_there(
    gateway: Gateway, screen: Console
) -> None:
    page = screen.open(f"{gateway.url}/elsewhere")
    assert [complaint for complaint in screen.complaints if "404" not in complaint] == []
    screen.complaints.clear()
    assert findings(page) == []
    page.get_by_role("link", name="Start page").click()
    expect(page.get_by_role("heading", name="Organizations and licenses")).to_be_visible()
    assert findings(page) == []
    hrefs = [link.get_attribute("href") or "" for link in page.get_by_role("link").all()]
    assert len(hrefs) == 6
    for href in hrefs:
        answer = gateway.client.get(href, headers={"Accept": "text/html"}, follow_redirects=True)
        assert answer.status_code == 200, href


def test_an_id_can_not_break_out_of_the_gateways_answer(gateway: Gateway) -> None:
    body = problem_of(gateway.client.get("/elsewhere", headers={"tmx-correlation-id": '", "status": "200'}))

    assert re.fullmatch("[0-9a-f]{32}", body["correlationId"])


def test_too_much_is_refused_at_the_gateway(gateway: Gateway) -> None:
    large = gateway.client.post("/organization/v1/organization", content=b"x" * (1024 * 1024 + 1))
    assert problem_of(large)["status"] == 413
    assert problem_of(gateway.client.get("/organization/" + "a" * 9000))["status"] == 414
    assert problem_of(gateway.client.get("/organization/", headers={"X-A": "a" * 9000}))["status"] == 431


def test_a_body_that_does_not_fit_in_memory_gets_through(gateway: Gateway) -> None:
    # Beyond client_body_buffer_size nginx writes it to a file, which it must be able to.
    answer = gateway.client.post("/organization/v1/organization", json={**ORGANIZATION, "name": "x" * 500_000})

    assert problem_of(answer)["type"] == "/problems/validation"


def test_a_service_that_is_away_is_a_problem_and_comes_back(gateway: Gateway, organization: str) -> None:
    gateway.platform.organization.stop()
    try:
        answer = gateway.client.get(organization)
    finally:
        gateway.platform.organization.start()

    assert problem_of(answer)["status"] == 502
    assert answer.headers["Retry-After"] == "5"
    assert gateway.client.get(organization).status_code == 200


def test_the_images_health_check_agrees_with_the_service(gateway: Gateway) -> None:
    def check(port: int) -> int:
        environment = {"BIND": f"0.0.0.0:{port}", "PATH": os.environ["PATH"]}
        script = [sys.executable, str(ROOT / "deploy/healthcheck.py")]
        return subprocess.run(script, env=environment, capture_output=True, check=False, timeout=30).returncode

    assert check(httpx.URL(gateway.platform.organization_url).port or 0) == 0
    assert check(free_port()) == 1
