"""What the gateway does before a service sees anything: limits, doors, headers. A stand-in is behind it."""

import http.client
import itertools
import json
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.nginx import Nginx, NginxMissing
from devstack.waiting import wait_until
from tests.e2e.upstream import Upstream, running

# All of 127.0.0.0/8 is this machine: callers who are not on the gateway's own address.
SOMEBODY, SOMEBODY_ELSE, PROXY = "127.0.0.2", "127.0.0.3", "127.0.0.4"
PATH = "/organization/v1/organization"

Start = Callable[..., Nginx]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def start(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """A gateway with these settings."""
    with ExitStack() as stack:

        def start(**settings: str) -> Nginx:
            folder = tmp_path_factory.mktemp("edge") / "nginx"
            try:
                nginx = Nginx(folder, organization_port=upstream.port, licensing_port=upstream.port, settings=settings)
            except NginxMissing as missing:
                pytest.skip(str(missing))
            return stack.enter_context(nginx)

        yield start


@pytest.fixture(scope="module")
def gateway(start: Start) -> Nginx:
    return start()


def ask(gateway: Nginx, path: str = PATH, *, caller: str = SOMEBODY, **request: Any) -> httpx.Response:
    """As that caller. The path goes as it is, where httpx would tidy it up."""
    try:
        with socket.create_server((caller, 0)):
            pass
    except OSError:
        pytest.skip(f"this machine does not have {caller}")
    url = httpx.URL(gateway.url()).copy_with(raw_path=path.encode())
    with httpx.Client(transport=httpx.HTTPTransport(local_address=caller), timeout=20) as client:
        return client.send(httpx.Request("GET", url, **request))


def received(answer: httpx.Response) -> httpx.Headers:
    """What the service behind got."""
    assert answer.status_code == 200, answer.text
    return httpx.Headers([tuple(header) for header in answer.json()["headers"]])


def logged(gateway: Nginx, correlation_id: str) -> dict[str, Any]:
    lines: list[dict[str, Any]] = []

    def look() -> bool:
        entries = (json.loads(line) for line in gateway.log.read_text().splitlines() if line.startswith("{"))
        lines[:] = [entry for entry in entries if entry["correlation_id"] == correlation_id]
        return bool(lines)

    assert wait_until(look, within_s=10)
    return lines[0]


def test_a_client_that_asks_too_often_is_told_to_wait_and_others_are_not(start: Start) -> None:
    gateway = start(GATEWAY_RATE="1r/m", GATEWAY_BURST="2")

    assert [ask(gateway).status_code for _ in range(4)] == [200, 200, 200, 429]

    refused = ask(gateway, headers={"tmx-correlation-id": "too-often"})
    assert refused.status_code == 429
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) >= 1
    assert refused.headers["Cache-Control"] == "no-store"
    problem = refused.json()
    assert (problem["type"], problem["status"]) == ("/problems/too-many-requests", 429)
    assert problem["correlationId"] == refused.headers["tmx-correlation-id"] == "too-often"
    assert logged(gateway, "too-often")["status"] == 429
    assert ask(gateway, caller=SOMEBODY_ELSE).status_code == 200


def test_licensing_is_not_counted(start: Start) -> None:
    """It asks for every organization that is not cached, on behalf of everybody."""
    gateway = start(GATEWAY_RATE="1r/m", GATEWAY_BURST="1", GATEWAY_UNLIMITED_FROM="127.0.0.3/32")

    assert {ask(gateway, caller=SOMEBODY_ELSE).status_code for _ in range(6)} == {200}
    assert [ask(gateway).status_code for _ in range(3)] == [200, 200, 429]


def test_a_client_has_only_so_many_requests_under_way(start: Start, upstream: Upstream) -> None:
    gateway = start(GATEWAY_CONNECTIONS="2")
    upstream.gate.clear()
    try:
        with ThreadPoolExecutor(2) as pool:
            hanging = [pool.submit(ask, gateway) for _ in range(2)]
            assert wait_until(lambda: upstream.waiting == 2, within_s=20)
            third = ask(gateway)
            upstream.gate.set()
            assert [each.result().status_code for each in hanging] == [200, 200]
    finally:
        upstream.gate.set()
    assert third.status_code == 429
    assert third.headers["Retry-After"]


@pytest.mark.parametrize("path", [PATH, "/elsewhere", "/license/health/ready", "/health"])
def test_every_answer_has_each_security_header_once(gateway: Nginx, path: str) -> None:
    headers = ask(gateway, path).headers

    assert headers.get_list("X-Content-Type-Options") == ["nosniff"]
    assert headers.get_list("X-Frame-Options") == ["DENY"]
    assert headers.get_list("Referrer-Policy") == ["same-origin"]
    [policy] = headers.get_list("Content-Security-Policy")
    assert "default-src 'self'" in policy
    assert not re.search("script-src|unsafe-eval", policy)
    assert headers.get_list("Server") == ["nginx"], "which version is nobody's business"
    assert "Strict-Transport-Security" not in headers, "over http, and what a service says is not passed on"


def test_other_headers_of_a_service_are_passed_on(gateway: Nginx) -> None:
    assert ask(gateway).headers["X-Powered-By-Nobody"] == "passed on"


def test_who_came_by_https_stays_with_it(start: Start) -> None:
    gateway = start(GATEWAY_PUBLIC_SCHEME="https")

    for path in (PATH, "/elsewhere"):
        [strict] = ask(gateway, path).headers.get_list("Strict-Transport-Security")
        assert int(strict.removeprefix("max-age=")) >= 31_536_000
    assert received(ask(gateway))["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize("service", ["organization", "license"])
@pytest.mark.parametrize(
    "path",
    [
        "health",
        "health/ready",
        "health/live/",
        "%68ealth/ready",
        "/health/ready",
        "v1/../health/ready",
        "v1/%2e%2e/health/ready",
        "v1/..%2fhealth/ready",
        "static/../metrics",
        "metrics",
        "a-page-that-is-not-there-yet",
        "docs/../health/ready",
        "admin",
        "admin/",
        "admin/login/",
        "%61dmin/",
        "api-auth/login/",
        "v1/../admin/",
        "v1",
    ],
)
def test_nothing_else_of_a_service_is_there_from_outside(gateway: Nginx, service: str, path: str) -> None:
    answer = ask(gateway, f"/{service}/{path}")

    assert answer.status_code == 404
    assert answer.json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("path", ["", "v1/organization", "v1/organization/", "docs", "openapi.json", "static/a.css"])
def test_what_is_for_everybody_gets_through_as_it_came(gateway: Nginx, path: str) -> None:
    answer = ask(gateway, f"/license/{path}?a=%2e%2e/b")

    assert answer.json()["path"] == f"/license/{path}?a=%2e%2e/b"
    assert received(answer)["SCRIPT_NAME"] == "/license"


ODD_PATHS = [
    "//organization/docs",
    "/%6frganization/v1/organization",
    "/./license/v1/organization",
    "/organization/../license/v1/organization",
    "/organization//v1/organization",
    "/organization/./v1/organization",
    "/organization/x/../v1/organization",
    "/organization%2fv1/organization",
    "/organization/v1%2forganization",
    "/organization/%76%31/organization",
    "/organization/v1/./organization",
    "/organization/v1//organization",
    "/organization/static/../v1/organization",
    "/organization/static/%2e%2e/%2E%2E/etc/passwd",
    "/organization/v1/../../license/docs",
    "/ORGANIZATION/v1/organization",
    "/organization/v1/organization/..",
    "/organization/docs/",
    "/organization/docs/.",
    "/organization;x/v1/organization",
    "/organization/v1/organization/%00",
    "/organization/v1/organization/%",
    "/organization/v1/organization/%zz",
    "/../organization/docs",
    "/organization/%%2e/docs",
]
SEGMENTS = [
    "",
    ".",
    "..",
    "%2e",
    "%2E%2e",
    "organization",
    "%6frganization",
    "license",
    "v1",
    "%76%31",
    "docs",
    "x%2fy",
]


def test_what_is_passed_on_is_what_was_asked_for_or_it_is_not_there(gateway: Nginx) -> None:
    """nginx decides by the path that it has tidied up, and passes on the one that came."""
    paths = [*ODD_PATHS, *(f"/{'/'.join(segments)}" for segments in itertools.product(SEGMENTS, repeat=3))]
    passed = []
    # httpx would tidy them up.
    with closing(http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)) as connection:
        for path in paths:
            connection.request("GET", f"{path}?a=//../b")
            answer = connection.getresponse()
            body = answer.read()
            if (answer.headers["Content-Type"] or "").startswith("text/html"):
                assert b"<h1>Organizations and licenses</h1>" in body, "the gateway's own start page"
            elif answer.status == 200:
                assert json.loads(body)["path"] == f"{path}?a=//../b"
                passed.append(path)
            else:
                assert answer.status in (400, 404), path
                assert answer.headers["Content-Type"] == "application/problem+json", path
    assert set(passed).isdisjoint(ODD_PATHS)
    assert passed
    for path in passed:
        assert re.match("/(organization|license)/(v1/|docs$|$)", path), path
        assert "" not in path.split("/")[1:-1], path
        assert {".", "..", "%2e", "%2E%2e"}.isdisjoint(path.split("/")), path


HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n\r\n"
ODD_REQUESTS = {
    "trace": (b"TRACE /organization/v1/organization HTTP/1.1\r\n" + HEAD, 405),
    "connect": (b"CONNECT elsewhere:443 HTTP/1.1\r\n" + HEAD, 400),
    "lower case": (b"get /organization/v1/organization HTTP/1.1\r\n" + HEAD, 400),
    "no method": (b"/organization/v1/organization HTTP/1.1\r\n" + HEAD, 400),
    "unknown method, nowhere": (b"FETCH /nowhere HTTP/1.1\r\n" + HEAD, 404),
    "version": (b"GET /organization/docs HTTP/3.0\r\n" + HEAD, 505),
    "no version": (b"GET /organization/docs HTTP/x\r\n" + HEAD, 400),
    "coding": (b"POST /organization/v1/organization HTTP/1.1\r\nTransfer-Encoding: gzip\r\n" + HEAD, 501),
    "length and coding": (
        b"POST /organization/v1/organization HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n" + HEAD,
        400,
    ),
    "length": (b"POST /organization/v1/organization HTTP/1.1\r\nContent-Length: x\r\n" + HEAD, 400),
    "large": (b"POST /organization/v1/organization HTTP/1.1\r\nContent-Length: 2000000\r\n" + HEAD, 413),
    "long header": (b"GET /organization/docs HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n" + HEAD, 431),
    "many headers": (b"GET /organization/docs HTTP/1.1\r\n" + b"X: aaaaaaaa\r\n" * 4_000 + HEAD, 431),
    "long address": (b"GET /organization/docs?" + b"a" * 9_000 + b" HTTP/1.1\r\n" + HEAD, 414),
    "no host": (b"GET /organization/docs HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "two hosts": (b"GET /organization/docs HTTP/1.1\r\nHost: a\r\n" + HEAD, 400),
    "odd host": (b"GET /organization/docs HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n", 400),
    "a blank": (b"GET /organization/v1/ x HTTP/1.1\r\n" + HEAD, 400),
    "NUL": (b"GET /organization/v1/%00 HTTP/1.1\r\n" + HEAD, 400),
}


@pytest.mark.parametrize("what", ODD_REQUESTS)
def test_what_the_gateway_refuses_is_a_problem(gateway: Nginx, what: str) -> None:
    request, status = ODD_REQUESTS[what]
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as connection:
        connection.sendall(request)
        head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == str(status).encode(), head
    assert b"content-type: application/problem+json" in head.lower()
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["type"].startswith("/problems/"), problem


def test_the_admin_is_for_those_who_are_let_in(start: Start) -> None:
    gateway = start(GATEWAY_ADMIN_FROM="127.0.0.3/32")

    for page in ("admin/", "api-auth/login/"):
        assert ask(gateway, f"/organization/{page}", caller=SOMEBODY_ELSE).status_code == 200
        assert ask(gateway, f"/organization/{page}", caller=SOMEBODY).status_code == 404


def test_what_a_caller_says_of_its_way_here_is_not_passed_on(gateway: Nginx) -> None:
    forged = {
        "X-Forwarded-For": "10.9.9.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
        "SCRIPT_NAME": "/evil",
        "Script-Name": "/evil",
        "X_FORWARDED_FOR": "10.9.9.9",
        "REMOTE_ADDR": "10.9.9.9",
    }

    headers = received(ask(gateway, headers=forged))

    assert headers.get_list("X-Forwarded-For") == [SOMEBODY]
    assert headers.get_list("X-Forwarded-Host") == [f"127.0.0.1:{gateway.port}"]
    assert headers.get_list("X-Forwarded-Proto") == ["http"]
    assert headers.get_list("X-Forwarded-Prefix") == ["/organization"]
    assert headers.get_list("SCRIPT_NAME") == ["/organization"]
    assert "X_FORWARDED_FOR" not in headers
    assert "REMOTE_ADDR" not in headers


def test_a_proxy_in_front_is_believed_and_nobody_else(start: Start) -> None:
    gateway = start(GATEWAY_PROXY=f"{PROXY}/32", GATEWAY_RATE="1r/m", GATEWAY_BURST="1")

    def through(caller: str, client: str) -> httpx.Response:
        return ask(gateway, caller=caller, headers={"X-Forwarded-For": client})

    assert received(through(PROXY, "198.51.100.7"))["X-Forwarded-For"] == "198.51.100.7"
    # Each client is counted by itself, and not the proxy.
    assert [through(PROXY, "198.51.100.7").status_code for _ in range(2)] == [200, 429]
    assert through(PROXY, "198.51.100.8").status_code == 200
    assert received(through(SOMEBODY, "198.51.100.9"))["X-Forwarded-For"] == SOMEBODY
    # A limit can't be shaken off by a new name.
    assert [through(SOMEBODY, f"198.51.100.{number}").status_code for number in (10, 11)] == [200, 429]


def test_the_rendered_configuration_is_whole(gateway: Nginx) -> None:
    assert "${" not in Path(gateway.data_dir / "gateway.conf").read_text()
