"""Fuzzed headers as bytes on a socket, to gunicorn and to nginx: what the tests in one process can't send."""

import json
import socket
from collections.abc import Iterator

import httpx
import pytest

from devstack.cluster import ServiceCluster
from devstack.nginx import Nginx, NginxMissing
from event_stream.user_context import is_acceptable
from tests.security import fuzzed

LENGTHS = ("-1", "+5", "1e3", "0x10", "5, 5", "5\r\nContent-Length: 6", "9" * 30, "", " ", "é")
ODD = [
    *(("Content-Length", length) for length in LENGTHS),
    # What Django alone answers with a 500: a name with a NUL in it is looked for as an encoding.
    ("Content-Type", "text/plain; charset*=utf-8''%00"),
    # And with any query: Django decodes it before there is a request.
    ("Content-Type", "text/plain; charset=zlib"),
    # Not of a page: a browser gets one from the gateway, too.
    ("Accept", "application/json; x*=klingon''y"),
]


@pytest.fixture(scope="module")
def gateway(platform: ServiceCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    ports = [httpx.URL(url).port or 0 for url in (platform.organization_url, platform.licensing_urls[0])]
    try:
        nginx = Nginx(tmp_path_factory.mktemp("fuzzed") / "nginx", organization_port=ports[0], licensing_port=ports[1])
    except NginxMissing as missing:
        pytest.skip(str(missing))
    with nginx:
        yield nginx


def answer_to(port: int, path: str, headers: list[tuple[str, str]]) -> tuple[int, dict[str, str]]:
    """Status and headers."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        received = b""
        while part := connection.recv(65536):
            received += part
            if b"\r\n\r\n" in received:
                break
    head, *_body = received.decode("latin-1").split("\r\n\r\n")
    status, *fields = head.split("\r\n")
    named = dict(field.lower().split(": ", 1) for field in fields if ": " in field)
    return int(status.split(" ")[1]), named


def storm(port: int, path: str, *, seed: int) -> set[int]:
    statuses = set()
    for values in fuzzed.requests(seed, 800):
        headers = [("Host", f"127.0.0.1:{port}")] if "Host" not in values else []
        status, answered = answer_to(port, path, [*headers, *values.items()])
        assert status < 500, values
        assert "x-injected" not in answered, values
        # What is refused before it is a request has none.
        assert is_acceptable(answered.get("tmx-correlation-id", "none")), values
        statuses.add(status)
    for name, value in ODD:
        status, answered = answer_to(port, f"{path}?a=1", [("Host", f"127.0.0.1:{port}"), (name, value)])
        assert status < 500, (name, value)
        if name != "Content-Length":
            # 404: the gateway shows no health.
            assert status in {400, 404, 415}, (name, value)
            assert answered["content-type"] == "application/problem+json", (name, value)
    return statuses


def is_whole(text: str) -> bool:
    return all(isinstance(json.loads(line), dict) for line in text.splitlines())


@pytest.mark.parametrize("service", ["organization", "licensing"])
def test_gunicorn(platform: ServiceCluster, service: str) -> None:
    process = platform.organization if service == "organization" else platform.licensing[0]
    url = platform.organization_url if service == "organization" else platform.licensing_urls[0]

    assert {400, 401} <= storm(httpx.URL(url).port or 0, "/v1/organization", seed=5) | {401 * (service == "licensing")}
    assert is_whole(process.log.read_text())


@pytest.mark.parametrize("path", ["/organization/v1/organization", "/license/health/ready", "/organization/docs"])
def test_nginx(gateway: Nginx, platform: ServiceCluster, path: str) -> None:
    storm(gateway.port, path, seed=6)

    assert is_whole(gateway.log.read_text())
    assert is_whole(platform.organization.log.read_text())
