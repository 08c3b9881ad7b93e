"""gunicorn with the configuration of deploy/: its log, its prefix, its reload, its word on a wrong environment."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from gunicorn.arbiter import Arbiter  # type: ignore[import-untyped]

from devstack.environment import ROOT, service_environment
from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until

COMMAND = [sys.executable, str(ROOT / "deploy/gunicorn/serve.py"), "tests.event_stream.web_wsgi"]


class Gunicorn(SupervisedProcess):
    def __init__(self, folder: Path, **settings: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            "gunicorn",
            COMMAND,
            log=folder / "gunicorn.log",
            ready=self._answers,
            env=service_environment(
                {"BIND": f"127.0.0.1:{self.port}", "WEB_CONCURRENCY": "1", "SERVICE_NAME": "demo", **settings}
            ),
            cwd=ROOT,
        )

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", timeout=2).is_success
        except httpx.TransportError:
            return False

    def workers(self) -> set[int]:
        """The processes that live just now."""
        alive = set()
        for child in psutil.Process(self.pid).children():
            with suppress(psutil.NoSuchProcess):
                if child.status() != psutil.STATUS_ZOMBIE:
                    alive.add(child.pid)
        return alive

    def lines(self) -> list[dict[str, Any]]:
        """Every line of the log; a ValueError where one is no JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """Those of the test's own requests: the question whether it is ready is logged as well."""
        return [line for line in self.lines() if line["event"] == name and line.get("path") != "/health/live"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Gunicorn]]:
    started: list[Gunicorn] = []

    def start(**settings: str) -> Gunicorn:
        started.append(Gunicorn(tmp_path, **settings))
        return started[-1].start()

    yield start
    for server in started:
        server.stop()


def test_every_line_is_json_and_one_request_one_id(start: Callable[..., Gunicorn]) -> None:
    server = start(ACCESS_LOG="true")
    sent = {"tmx-correlation-id": "order-17", "Authorization": "Bearer tOpSeCrEt123", "User-Agent": 'a"b'}

    httpx.get(f"{server.url}/context?token=tOpSeCrEt123", headers=sent)
    httpx.get(f"{server.url}/plain/bug", headers=sent)

    assert wait_until(lambda: len(server.events("http.request")) == 2, within_s=10)
    found, failed = server.events("http.request")
    assert {key: found[key] for key in ("method", "path", "status", "correlation_id", "user_agent", "service")} == {
        "method": "GET",
        "path": "/context",
        "status": 200,
        "correlation_id": "order-17",
        "user_agent": 'a"b',
        "service": "demo",
    }
    assert found["bytes"] > 0
    assert found["duration_s"] > 0
    assert failed["status"] == 500
    for event in ("context.seen", "about.to.fail", "Internal Server Error: /plain/bug"):
        assert [line["correlation_id"] for line in server.events(event)] == ["order-17"], event
    assert "ZeroDivisionError" in server.events("Internal Server Error: /plain/bug")[0]["exc_info"]
    assert "abcdefgh12345" not in server.log.read_text()


TOKEN = "tOpSeCrEt123"
QUERY = f"?search=M\u00fcller&access_token={TOKEN}".encode()
HOST = b"Host: 127.0.0.1\r\n"
UNREADABLE = {
    "raw UTF-8": (b"GET /context" + QUERY + b" HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "a blank": (b"GET /context" + QUERY + b" x HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "Expect": (
        b"GET /context?a=" + TOKEN.encode() + b" HTTP/1.1\r\n" + HOST + b"Expect: " + TOKEN.encode() + b"\r\n\r\n",
        417,
    ),
    "method": (TOKEN.encode() + b"{} / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "version": (b"GET / HTTP/" + TOKEN.encode() + b"\r\n" + HOST + b"\r\n", 400),
    "header name": (b"GET /?a=" + TOKEN.encode() + b" HTTP/1.1\r\n" + HOST + TOKEN.encode() + b"(): x\r\n\r\n", 400),
    "header folded": (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n " + TOKEN.encode() + b"\r\n\r\n", 400),
    "coding": (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: " + TOKEN.encode() + b"\r\n\r\n", 501),
    "too long": (b"GET /?" + TOKEN.encode() * 1000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
}


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_what_can_not_be_read_is_a_problem_and_in_no_log(start: Callable[..., Gunicorn], level: str) -> None:
    server = start(ACCESS_LOG="true", LOG_LEVEL=level)
    for name, (request, status) in UNREADABLE.items():
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(request)
            head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status), (name, head)
        assert b"application/problem+json" in head, name
        problem = json.loads(body)
        assert problem["status"] == status, name
        assert TOKEN not in body.decode(), name
        if name == "raw UTF-8":
            assert "Percent-encode" in problem["detail"]
    # A client that goes away in the middle of its request.
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /context?access_token=" + TOKEN.encode())
    assert wait_until(lambda: len(server.events("http.unreadable")) == len(UNREADABLE), within_s=10)
    server.stop()
    text = server.log.read_text()
    for secret in (TOKEN, "search", "ller&"):
        assert secret not in text, secret


def test_without_being_asked_it_writes_no_line_a_request(start: Callable[..., Gunicorn]) -> None:
    server = start()

    httpx.get(f"{server.url}/context")

    # The view's own line has been written, and gunicorn's would have come before the server is gone.
    server.stop()
    assert len(server.events("context.seen")) == 1
    assert server.events("http.request") == []
    assert server.events("Shutting down: Master")


def test_the_prefix_and_the_scheme_are_the_gateways(start: Callable[..., Gunicorn]) -> None:
    server = start(FORWARDED_ALLOW_IPS="127.0.0.0/8")
    headers = {"SCRIPT_NAME": "/organization", "X-Forwarded-Proto": "https"}

    seen = httpx.get(f"{server.url}/organization/context", headers=headers).json()

    assert seen["url"] == f"https://127.0.0.1:{server.port}/organization/context"


@pytest.mark.parametrize("header", ["SCRIPT_NAME", "X-Forwarded-Prefix", "X-Forwarded-Host", "X-Forwarded-Proto"])
def test_anybody_elses_word_on_that_is_not_believed(start: Callable[..., Gunicorn], header: str) -> None:
    server = start(FORWARDED_ALLOW_IPS="192.0.2.1")
    value = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}.get(header, "/context")

    seen = httpx.get(f"{server.url}/context", headers={header: value}).json()

    assert seen["url"] == f"http://127.0.0.1:{server.port}/context"


def test_a_reload_loses_no_request(start: Callable[..., Gunicorn]) -> None:
    server = start()

    def replaced() -> bool:
        events = [line["event"] for line in server.lines()]
        return any(event.startswith("Worker exiting") for event in events) and (
            sum(event.startswith("Booting worker") for event in events) == 2
        )

    def asked_and_replaced() -> bool:
        # A new connection each: one that is kept open may be closed by a server at any time.
        assert httpx.get(f"{server.url}/context", timeout=60).status_code == 200
        return replaced()

    os.kill(server.pid, signal.SIGHUP)

    assert wait_until(asked_and_replaced, within_s=60)
    assert httpx.get(f"{server.url}/context").status_code == 200


def test_a_header_too_many_or_too_long_is_refused(start: Callable[..., Gunicorn]) -> None:
    server = start()

    many = b"".join(b"X-%d: 1\r\n" % number for number in range(100))
    for request in (
        b"GET / HTTP/1.1\r\n" + many + b"\r\n",
        b"GET / HTTP/1.1\r\nX-A: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(request)
            assert connection.recv(12) in (b"HTTP/1.1 400", b"HTTP/1.1 431", b"HTTP/1.1 414")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("BIND", "8081", "host:port"),
        ("BIND", "localhost:99999", "host:port"),
        ("WEB_CONCURRENCY", "0", "greater than or equal to 1"),
        ("WEB_THREADS", "four", "Not a valid integer"),
        ("ACCESS_LOG", "perhaps", "Not a valid boolean"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("WEB_CONCURRENCY", "abc", "whole number of processes"),
        ("LOG_FORMAT", "xml", "json, plain"),
    ],
)
def test_a_wrong_environment_is_one_clear_sentence(name: str, value: str, told: str) -> None:
    ended = subprocess.run(
        COMMAND,
        env=service_environment({name: value}),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode != 0
    (sentence,) = ended.stderr.splitlines()
    assert sentence.startswith("gunicorn can't start: ")
    assert name in sentence
    assert told in sentence


HALF_A_HEAD = b"GET /context HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALF_A_BODY = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
ENDLESS_CHUNKS = b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """The status and the problem, once the server has closed the connection."""
    connection.settimeout(30)
    head, _, body = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])


def test_nobody_waits_for_heads_that_never_end(start: Callable[..., Gunicorn]) -> None:
    server = start(WEB_THREADS="2")
    with ExitStack() as stack:
        for _ in range(16):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(HALF_A_HEAD)
        # Long before the server gives up on them.
        assert httpx.get(f"{server.url}/context", timeout=10).is_success
        client.sendall(b"Connection: close\r\n")
        client.sendall(b"\r\n")
        assert answer_of(client)[0] == 200


def test_what_never_arrives_is_a_408_and_one_line(start: Callable[..., Gunicorn]) -> None:
    server = start(WEB_THREADS="2", WEB_READ_TIMEOUT_S="1")
    for beginning in (HALF_A_HEAD, HALF_A_BODY % b"/companies", ENDLESS_CHUNKS % b"/companies"):
        with ExitStack() as stack:
            clients = [
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30)) for _ in range(3)
            ]
            for client in clients:
                client.sendall(beginning)
            for client in clients:
                status, problem = answer_of(client)
                assert (status, problem["status"], problem["type"]) == (408, 408, "/problems/timeout"), beginning
        assert httpx.get(f"{server.url}/context", timeout=20).is_success
    server.stop()
    assert "Traceback" not in server.log.read_text()


def test_a_client_that_takes_no_answer_holds_no_thread_for_ever(start: Callable[..., Gunicorn]) -> None:
    server = start(WEB_THREADS="1", WEB_READ_TIMEOUT_S="1")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", server.port))
        client.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert wait_until(lambda: bool(server.events("http.timeout")), within_s=20)
        assert httpx.get(f"{server.url}/context", timeout=20).is_success


def test_nobody_waits_for_clients_that_do_not_close(start: Callable[..., Gunicorn]) -> None:
    """gunicorn's own loop would wait 2 s for each of them."""
    server = start(WEB_THREADS="1")
    with ExitStack() as stack:
        for _ in range(16):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
            client.sendall(HALF_A_HEAD + b"Connection: close\r\n\r\n")
        assert answer_of(client)[0] == 200
        assert httpx.get(f"{server.url}/context", timeout=10).is_success


def test_a_head_of_any_size_takes_no_memory(start: Callable[..., Gunicorn]) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /context HTTP/1.1\r\n" + b"X: a\r\n" * 11_000)
        assert answer_of(client)[0] == 431


@pytest.mark.parametrize("beginning", [HALF_A_BODY, ENDLESS_CHUNKS])
def test_a_health_check_waits_for_no_body(start: Callable[..., Gunicorn], beginning: bytes) -> None:
    server = start()
    with ExitStack() as stack:
        for path in (b"/health/live", b"/health/ready"):
            for method in (b"POST", b"GET"):
                client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                client.sendall((beginning % path).replace(b"POST", method))
        assert httpx.get(f"{server.url}/health/live", timeout=3).is_success
        assert httpx.get(f"{server.url}/health/ready", timeout=3).status_code == 503


def test_requests_one_behind_the_other_are_each_answered(start: Callable[..., Gunicorn]) -> None:
    server = start(WEB_THREADS="1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(b"GET /context HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 3 + HALF_A_HEAD)
        # The last one's end comes in a packet of its own.
        received = b""
        while received.count(b"HTTP/1.1 200") < 3:
            received += client.recv(65536)
        client.sendall(b"Connection: close\r\n\r\n")
        received += b"".join(iter(lambda: client.recv(65536), b""))
    assert received.count(b"HTTP/1.1 200") == 4


def test_a_wrong_setting_of_the_application_is_one_line(tmp_path: Path) -> None:
    """However many processes find it."""
    ended = subprocess.run(
        [*COMMAND[:2], "--chdir", str(ROOT / "org_project"), "org_project.wsgi"],
        env=service_environment({"BIND": f"127.0.0.1:{free_port()}", "WEB_CONCURRENCY": "3", "DATABASE_URL": "hush"}),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == Arbiter.APP_LOAD_ERROR
    assert "Traceback" not in ended.stderr
    [line] = [json.loads(line) for line in ended.stderr.splitlines() if "should be" in line]
    assert (line["event"], line["level"]) == ("settings.wrong", "CRITICAL")
    assert line["error"].startswith("DATABASE_URL should be a PostgreSQL URL")
    assert "hush" not in ended.stderr


def test_health_is_answered_while_every_thread_is_held_up(start: Callable[..., Gunicorn]) -> None:
    """By clients here that send the half of a body; a lock or a server that hangs would do the same."""
    server = start(WEB_THREADS="2")
    with ExitStack() as stack:
        for _ in range(3):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            client.sendall(HALF_A_BODY % b"/companies")
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{server.url}/context", timeout=1)

        live = httpx.get(f"{server.url}/health/live", timeout=20)
        # Without a database, and not without an answer.
        ready = httpx.get(f"{server.url}/health/ready", timeout=20)
    assert (live.status_code, ready.status_code) == (200, 503)
    assert wait_until(lambda: httpx.get(f"{server.url}/context", timeout=20).is_success, within_s=20)


def test_a_connection_may_stay_silent_at_first(start: Callable[..., Gunicorn]) -> None:
    server = start(WEB_THREADS="1")
    with socket.create_connection(("127.0.0.1", server.port)) as silent:
        assert httpx.get(f"{server.url}/context", timeout=20).is_success
        silent.sendall(b"GET /context HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        assert silent.makefile("rb").readline().startswith(b"HTTP/1.1 200")
