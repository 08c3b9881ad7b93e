"""The call to the organization service: what it may answer, and what it must not cost."""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from devstack.waiting import wait_until
from event_stream import user_context
from event_stream.clock import SystemClock
from event_stream.fenced_cache import Deadline, Fetched
from organization_lookup.client import (
    UNVERSIONED,
    BulkheadFull,
    CircuitOpen,
    OrganizationClient,
    ServiceTokenError,
    TransientUpstreamError,
    UpstreamAuthError,
    UpstreamError,
)
from organization_lookup.resilient_client import Circuit, ResilientClient
from tests.licensing_project.organization_service import NASA, OrganizationService, answering, as_java, reply, running
from tests.security.certificates import Authority

CLOCK = SystemClock()
VERSION = {"Organization-Version": "7"}


@pytest.fixture
def service() -> Iterator[OrganizationService]:
    with running() as service:
        service.put(NASA)
        yield service


@contextmanager
def client_of(
    url: str, *, read_timeout_s: float = 5.0, token_file: Path | None = None, versioned: bool = True
) -> Iterator[OrganizationClient]:
    client = OrganizationClient(
        url,
        connect_timeout_s=1.0,
        read_timeout_s=read_timeout_s,
        clock=CLOCK,
        token_file=token_file,
        versioned=versioned,
    )
    yield client
    client.close()


def guarded(call: Callable[[str, float], Fetched], *, attempts: int = 2, failures: int = 3) -> ResilientClient:
    return ResilientClient(call, Circuit(failures=failures, reset_s=60), attempts=attempts, max_calls=2)


def test_an_organization_is_fetched_as_the_bytes_to_splice(service: OrganizationService) -> None:
    service.put(NASA, name="한국 \N{ROCKET}", contactEmail=None, founded=1958)
    with client_of(service.url) as client:
        fetched = client.get(NASA, 5)
    assert fetched.version == service.version
    assert fetched.value is not None
    assert fetched.value.startswith('"organizationName":"한국 \N{ROCKET}"'.encode())
    assert json.loads(b"{%b}" % fetched.value) == {
        "organizationName": "한국 \N{ROCKET}",
        "contactName": "James Webb",
        "contactEmail": None,
        "contactPhone": "+1 202 555 0100",
    }


def test_an_absent_one_has_the_clock_of_its_service_for_a_version(service: OrganizationService) -> None:
    service.remove(NASA)
    with client_of(service.url) as client:
        assert client.get(NASA, 5) == Fetched(service.version, None)


def test_a_service_without_versions_is_read_if_the_setting_says_so(service: OrganizationService) -> None:
    service.behaviour = as_java(service)
    with client_of(service.url) as client, pytest.raises(UpstreamError, match="ORGANIZATION_SERVICE_VERSIONS=none"):
        client.get(NASA, 5)
    with client_of(service.url, versioned=False) as client:
        fetched = client.get(NASA, 5)
        assert (fetched.version, b"James Webb" in (fetched.value or b"")) == (UNVERSIONED, True)
        service.remove(NASA)
        assert client.get(NASA, 5) == Fetched(UNVERSIONED, None)


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"null"), (200, b"{}"), (500, b"")])
def test_what_is_no_absence_for_a_service_without_versions(
    service: OrganizationService, status: int, body: bytes
) -> None:
    service.behaviour = answering(status, body)
    with client_of(service.url, versioned=False) as client, pytest.raises(UpstreamError):
        client.get(NASA, 5)


def test_versions_are_ignored_if_the_setting_says_that_there_are_none(service: OrganizationService) -> None:
    with client_of(service.url, versioned=False) as client:
        assert client.get(NASA, 5).version == UNVERSIONED
        service.remove(NASA)
        assert client.get(NASA, 5) == Fetched(UNVERSIONED, None)


def test_the_authorities_of_the_environment_are_believed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Named as a file, as a folder, and not at all."""
    authority = Authority(tmp_path / "authority")
    folder = tmp_path / "folder"
    folder.mkdir()
    name = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", authority.certificate], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / f"{name}.0").symlink_to(authority.certificate)
    with running(authority.pair("organization")) as service:
        service.put(NASA)
        with client_of(service.url) as client, pytest.raises(UpstreamError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(NASA, 5)
        for variable, value in (("SSL_CERT_FILE", authority.certificate), ("SSL_CERT_DIR", folder)):
            with monkeypatch.context() as environment:
                environment.setenv(variable, str(value))
                with client_of(service.url) as client:
                    assert client.get(NASA, 5).version == service.version, variable


def test_connections_are_kept(service: OrganizationService) -> None:
    ports: list[int] = []

    def note_port(handler: BaseHTTPRequestHandler) -> None:
        ports.append(handler.client_address[1])
        reply(handler, 404, b"", VERSION)

    service.behaviour = note_port
    with client_of(service.url) as client:
        for _ in range(3):
            client.get(NASA, 5)
    assert len(set(ports)) == 1


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"<html>welcome</html>", VERSION),
        (200, b"", VERSION),
        (200, b"[]", VERSION),
        (200, b"[" * 60_000, VERSION),
        (200, b'{"id": "%s"}' % NASA.encode(), VERSION),
        (200, b'{"id": "%s", "name": null}' % NASA.encode(), VERSION),
        (200, b'{"id": "%s", "name": 1}' % NASA.encode(), VERSION),
        (200, b'{"id": "%s", "name": "x", "contactName": ["y"]}' % NASA.encode(), VERSION),
        (200, b'{"id": "another", "name": "x"}', VERSION),
        (200, b'{"id": "%s", "name": "x"}' % NASA.encode(), {}),
        (200, b'{"id": "%s", "name": "x"}' % NASA.encode(), {"Organization-Version": "seven"}),
        (200, b'{"id": "%s", "name": "%s"}' % (NASA.encode(), b"x" * 70_000), VERSION),
        (404, b"nginx", {}),
        (302, b"", {"Location": "http://elsewhere.example.org/"}),
        (204, b"", VERSION),
        (400, b"{}", VERSION),
        (500, b"{}", VERSION),
        (502, b"{}", VERSION),
        (200, b"not gzip", {**VERSION, "Content-Encoding": "gzip"}),
    ],
)
def test_an_answer_that_no_organization_service_gives_is_a_fault(
    service: OrganizationService, status: int, body: bytes, headers: dict[str, str]
) -> None:
    service.behaviour = answering(status, body, headers)
    with client_of(service.url) as client, pytest.raises(UpstreamError):
        client.get(NASA, 5)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_no_fault_of_the_peer(service: OrganizationService, status: int) -> None:
    service.behaviour = answering(status)
    with client_of(service.url) as client:
        fetch = guarded(client.get, failures=1)
        for _ in range(3):
            with pytest.raises(UpstreamAuthError):
                fetch(NASA, Deadline(CLOCK, 5))
    assert len(service.requests) == 3


def test_a_body_that_trickles_in_ends_with_the_budget(service: OrganizationService) -> None:
    given_up = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "60000")
        handler.end_headers()
        while not given_up.wait(0.02):
            handler.wfile.write(b" ")

    service.behaviour = trickle
    with client_of(service.url) as client, pytest.raises(UpstreamError):
        client.get(NASA, 0.3)
    given_up.set()


def test_no_answer_in_time_is_a_fault_that_is_not_tried_again(service: OrganizationService) -> None:
    over = threading.Event()

    def wait(_: BaseHTTPRequestHandler) -> None:
        over.wait(30)

    service.behaviour = wait
    with client_of(service.url, read_timeout_s=0.1) as client, pytest.raises(UpstreamError) as raised:
        guarded(client.get)(NASA, Deadline(CLOCK, 5))
    over.set()
    assert not isinstance(raised.value, TransientUpstreamError)
    assert len(service.requests) == 1


def test_what_may_pass_is_tried_again(service: OrganizationService) -> None:
    def fail_once(handler: BaseHTTPRequestHandler) -> None:
        service.behaviour = None
        reply(handler, 503, b"")

    service.behaviour = fail_once
    with client_of(service.url) as client:
        assert guarded(client.get)(NASA, Deadline(CLOCK, 5)).version == service.version
    assert len(service.requests) == 2


def test_a_connection_cut_in_the_answer_is_tried_again(service: OrganizationService) -> None:
    def cut_once(handler: BaseHTTPRequestHandler) -> None:
        service.behaviour = None
        handler.close_connection = True

    service.behaviour = cut_once
    with client_of(service.url) as client:
        assert guarded(client.get)(NASA, Deadline(CLOCK, 5)).version == service.version


def test_nothing_is_tried_beyond_the_budget() -> None:
    def call(_: str, budget_s: float) -> Fetched:
        budgets.append(budget_s)
        raise TransientUpstreamError("again")

    budgets: list[float] = []
    with pytest.raises(TransientUpstreamError):
        guarded(call, attempts=100, failures=1000)(NASA, Deadline(CLOCK, 0.2))
    assert 2 <= len(budgets) < 100
    assert budgets == sorted(budgets, reverse=True)


def test_a_dead_peer_is_left_alone_and_then_probed_by_one_caller() -> None:
    calls: list[str] = []
    alive = False

    def call(organization_id: str, _: float) -> Fetched:
        calls.append(organization_id)
        if not alive:
            raise UpstreamError("dead")
        probing.set()
        go_on.wait(30)
        return Fetched(1, None)

    probing, go_on = threading.Event(), threading.Event()
    circuit = Circuit(failures=3, reset_s=0.2)
    fetch = ResilientClient(call, circuit, attempts=1, max_calls=4)
    for _ in range(3):
        with pytest.raises(UpstreamError):
            fetch(NASA, Deadline(CLOCK, 1))
    with pytest.raises(CircuitOpen):
        fetch(NASA, Deadline(CLOCK, 1))
    assert len(calls) == 3
    assert 0 < circuit.retry_after_s() <= 0.2
    assert wait_until(lambda: circuit.retry_after_s() == 0, within_s=10)
    alive = True
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(fetch, NASA, Deadline(CLOCK, 1))
        assert probing.wait(10)
        with pytest.raises(CircuitOpen):
            fetch(NASA, Deadline(CLOCK, 1))
        go_on.set()
        assert probe.result(10) == Fetched(1, None)
    assert fetch(NASA, Deadline(CLOCK, 1)) == Fetched(1, None)
    assert circuit.retry_after_s() == 0


def test_calls_run_side_by_side_and_no_more_than_allowed() -> None:
    inside = threading.Barrier(3, timeout=10)
    go_on = threading.Event()

    def call(_: str, __: float) -> Fetched:
        inside.wait()
        go_on.wait(30)
        return Fetched(1, None)

    fetch = guarded(call)
    with ThreadPoolExecutor(2) as pool:
        under_way = [pool.submit(fetch, NASA, Deadline(CLOCK, 5)) for _ in range(2)]
        inside.wait()
        with pytest.raises(BulkheadFull):
            fetch(NASA, Deadline(CLOCK, 0.05))
        go_on.set()
        assert [each.result(10).version for each in under_way] == [1, 1]
    # Want of a place is no fault of the peer's.
    assert fetch.circuit.retry_after_s() == 0


def test_the_services_own_token_is_for_those_who_bring_none(service: OrganizationService, tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("first\n")
    with client_of(service.url, token_file=token_file) as client:
        client.get(NASA, 5.0)
        token_file.write_text("renewed")
        client.get(NASA, 5.0)
        with user_context.use(user_context.UserContext(authorization="Bearer callers-own")):
            client.get(NASA, 5.0)
    sent = [headers["authorization"] for _path, headers in service.requests]
    assert sent == ["Bearer first", "Bearer renewed", "Bearer callers-own"]


@pytest.mark.parametrize("content", [b"first", b"\xff", None])
def test_trouble_with_its_own_token_is_no_callers_fault(
    service: OrganizationService, tmp_path: Path, content: bytes | None
) -> None:
    token_file = tmp_path / "token"
    if content is not None:
        token_file.write_bytes(content)
    service.behaviour = answering(401)
    with client_of(service.url, token_file=token_file) as client:
        fetch = guarded(client.get)
        for _ in range(10):
            with pytest.raises(ServiceTokenError):
                fetch(NASA, Deadline(CLOCK, 5))
        # Or those with good tokens would be turned away.
        assert fetch.circuit.retry_after_s() == 0
        with (
            user_context.use(user_context.UserContext(authorization="Bearer callers-own")),
            pytest.raises(UpstreamAuthError),
        ):
            client.get(NASA, 5.0)
