"""What people are called and how they are reached, and what lets somebody in, is in no log of any process."""

import base64
import json
import socket
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from kafka import KafkaProducer

from devstack import json_log
from devstack.cluster import ServiceCluster
from devstack.nginx import Nginx, NginxMissing
from devstack.process import SupervisedProcess
from tests.e2e.admin import PASSWORD, Admin
from tests.e2e.world import DEADLINE_S, LICENSE, ORGANIZATION
from tests.security.issuer import Issuer

CONTACT = {
    "contactName": "Zaphod Unlogged",
    "contactEmail": "zaphod.unlogged@example.org",
    "contactPhone": "+44 20 7946 0991",
}
COOKIE = "unloggedcookie7391unloggedcookie"
BASIC = base64.b64encode(b"zaphod:unlogged-password").decode()
NEVER = (*CONTACT.values(), "zaphod.unlogged", "7946 0991", COOKIE, BASIC, PASSWORD)


@pytest.fixture
def gateway(platform: ServiceCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx | None]:
    """Where there is one."""
    ports = [httpx.URL(url).port or 0 for url in (platform.organization_url, platform.licensing_urls[0])]
    try:
        nginx = Nginx(tmp_path_factory.mktemp("logs") / "nginx", organization_port=ports[0], licensing_port=ports[1])
    except NginxMissing:
        yield None
        return
    with nginx:
        yield nginx


def ask_raw(base: str, path: str, header: str = "") -> str:
    """The whole answer to a request that no client library would send."""
    url = httpx.URL(base)
    with socket.create_connection((url.host, url.port or 80), timeout=20) as connection:
        request = f"GET {url.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {url.host}\r\n{header}Connection: close\r\n\r\n"
        connection.sendall(request.encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def test_no_log_names_a_person_or_lets_anybody_in(
    platform: ServiceCluster, issuer: Issuer, gateway: Nginx | None
) -> None:
    token = issuer.token("ADMIN", sub="unlogged-subject")
    organizations, licensing = platform.organization_url, platform.licensing_urls[0]
    if gateway:
        organizations, licensing = f"{gateway.url()}/organization", f"{gateway.url()}/license"
    headers = {
        "Authorization": f"Bearer {token}",
        "Cookie": f"organization_session={COOKIE}; licensing_session={COOKIE}",
    }
    with httpx.Client(headers=headers, timeout=20) as client:
        made = client.post(f"{organizations}/v1/organization", json={**ORGANIZATION, **CONTACT})
        assert made.status_code == 201, made.text
        url = f"{organizations}/v1/organization/{made.json()['id']}"
        licenses = f"{licensing}/v1/organization/{made.json()['id']}/license"
        license_url = f"{licenses}/{client.post(licenses, json=LICENSE).json()['licenseId']}"
        assert client.get(license_url).json()["contactName"] == CONTACT["contactName"]
        # What is refused, and might be told with all its values.
        wrong = {**CONTACT, "name": "x" * 5000}
        assert client.put(url, json=wrong).status_code == 400
        assert client.put(url, content=json.dumps(wrong)[:-1]).status_code == 415
        assert (
            client.put(url, content=json.dumps(wrong)[:-1], headers={"Content-Type": "application/json"}).status_code
            == 400
        )
        for search in CONTACT.values():
            client.get(f"{organizations}/v1/organization", params={"search": search})
            client.get(f"{organizations}/nowhere", params={"access_token": token, "who": search})
        client.get(url, headers={"Authorization": f"Basic {BASIC}"})
        client.get(url, headers={"Authorization": f"Bearer {token}x"})
    for base in {organizations, platform.organization_url, platform.licensing_urls[0]}:
        search = CONTACT["contactName"].replace(" ", "ü")
        answer = ask_raw(base, f"/v1/organization?search={search}&access_token={token}")
        assert "application/problem+json" in answer
        assert "ercent-encode" in answer
        ask_raw(base, f"/v1/organization?access_token={token} x")
        ask_raw(base, f"/v1/organization?access_token={token}", f"Expect: {token}\r\n")
    with Admin(platform.organization_url) as admin:
        page = admin.get(f"/organizations/organization/{made.json()['id']}/change/")
        admin.submit(page, {"contact_name": CONTACT["contactName"] + " II"})
    unreadable = json.dumps({"organizationId": 7, **CONTACT}).encode()
    with closing(KafkaProducer(bootstrap_servers=platform.servers.kafka_bootstrap_servers)) as producer:
        for body in (unreadable, unreadable[:-1]):
            producer.send(platform.topic, body, headers=[("Authorization", f"Bearer {token}".encode())]).get(20)
    [worker] = platform.workers
    assert json_log.wait_for_entry(
        worker.log, lambda entry: entry["event"] == "dead_letter.parked", within_s=DEADLINE_S
    )

    processes: list[SupervisedProcess] = [*platform.processes, *([gateway] if gateway else [])]
    for process in processes:
        text = process.log.read_text()
        assert text, process.name
        assert [line for line in text.splitlines() if not isinstance(json.loads(line), dict)] == []
        for value in (*NEVER, *token.split(".")[1:]):
            assert value not in text, (process.name, value)
            assert json.dumps(value)[1:-1] not in text, (process.name, value)
