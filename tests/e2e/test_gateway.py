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

from manage_scripts.stack import json_log
from manage_scripts.stack.nginx import Nginx, NginxMissing
from manage_scripts.stack.paths import ROOT
from manage_scripts.stack.platform import Platform
from manage_scripts.stack.ports import free_port
from manage_scripts.stack.servers import Servers
from tests.e2e.world import own_databases

ORGANIZATION = {"name": "Acme", "contactName": "Ann", "contactEmail": "ann@example.org", "contactPhone": "+1 555 0100"}
LICENSE = {"productName": "Ostock", "licenseType": "full"}


@dataclass(frozen=True)
class Gateway:
    """The running gateway, and what stands behind it."""

    nginx: Nginx
    platform: Platform
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
        nginx = Nginx(folder / "nginx", organization_port=organization_port, licensing_port=licensing_port, port=port)
    except NginxMissing as missing:
        pytest.skip(str(missing))
    platform = Platform(
        servers,
        folder,
        workers=0,
        org_port=organization_port,
        licensing_ports=[licensing_port],
        topic=f"gateway-{uuid.uuid4().hex}",
        databases=own_databases("gateway", servers.binder),
        settings={"ACCESS_LOG": "true", "WEB_CONCURRENCY": "1"},
    )
    # As deployed: licensing, too, asks the organization service through the gateway.
    for process in platform.licensing:
        process.env = {**(process.env or {}), "ORGANIZATION_SERVICE_URL": f"{nginx.url()}/organization"}
    platform.prepare()
    with platform, nginx, httpx.Client(base_url=nginx.url(), timeout=20) as client:
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
    assert httpx.get(gateway.platform.organization_url + direct).json()["name"] == "Acme"


def test_a_lookup_goes_twice_through_the_gateway_in_one_transaction(gateway: Gateway, organization: str) -> None:
    licenses = f"/license/v1/organization/{organization.rpartition('/')[2]}/license"
    created = gateway.client.post(licenses, json=LICENSE)
    assert created.status_code == 201, created.text

    answer = gateway.client.get(
        f"{licenses}/{created.json()['licenseId']}",
        # Not out of the cache, so that the organization service is asked.
        headers={"tmx-correlation-id": "order-17", "Cache-Control": "no-cache"},
    )

    assert answer.json()["contactName"] == "Ann"
    assert answer.headers["tmx-correlation-id"] == "order-17"
    for process in (gateway.platform.organization, *gateway.platform.licensing, gateway.nginx):
        assert gateway.logged(process, "order-17"), process.name


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
def test_the_documentation_works_below_the_prefix(gateway: Gateway, prefix: str) -> None:
    page = gateway.client.get(f"{prefix}/docs")
    assert page.status_code == 200
    assert f"{prefix}/openapi.json" in page.text
    assert gateway.client.get(f"{prefix}/openapi.json").json()["openapi"].startswith("3.")
    assert gateway.client.get(f"{prefix}/").headers["Location"] == f"{prefix}/docs"


@pytest.mark.parametrize(
    "path",
    [
        "/organization/health/ready",
        "/organization/health/live",
        "/organization/%68ealth/ready",
        "/organization//health/ready",
        "/organization/v1/../health/ready",
        "/license/health/ready",
        "/license/metrics",
    ],
)
def test_what_is_internal_is_not_there_from_outside(gateway: Gateway, path: str) -> None:
    # httpx would tidy the path up before it is sent.
    answer = gateway.client.send(httpx.Request("GET", httpx.URL(gateway.url).copy_with(raw_path=path.encode())))

    assert problem_of(answer)["type"] == "/problems/not-found"
    assert httpx.get(f"{gateway.platform.organization_url}/health/ready").status_code == 200


def test_nobody_can_pretend_to_be_the_gateway(gateway: Gateway) -> None:
    forged = {
        "SCRIPT_NAME": "/evil",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
    }

    page = gateway.client.get("/organization/v1/organization?size=1", headers=forged).json()

    assert page["next"].startswith(f"{gateway.url}/organization/v1/organization?")


def test_a_services_own_problem_is_passed_on_as_it_is(gateway: Gateway) -> None:
    path = f"/organization/v1/organization/{uuid.uuid4()}"

    answer = gateway.client.get(path)

    assert problem_of(answer)["instance"] == path
    assert answer.headers["Organization-Version"].isdigit()


def test_a_path_of_no_service_is_a_problem(gateway: Gateway) -> None:
    assert problem_of(gateway.client.get("/elsewhere", headers={"tmx-correlation-id": "order-17"})) == {
        "type": "/problems/not-found",
        "title": "Not found",
        "detail": "No service has this path: the gateway knows /organization/ and /license/.",
        "status": 404,
        "correlationId": "order-17",
    }


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
