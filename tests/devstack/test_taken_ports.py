"""A process is ready when it is the one that answers, not when another process on its port does."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from devstack import Kafka, SupervisedProcess, Valkey
from devstack.cluster import is_ready, web
from devstack.django_commands import LICENSING, ORGANIZATION
from devstack.errors import PortTakenError, ProcessDiedError
from devstack.nginx import Nginx, NginxMissing
from devstack.rabbitmq import RabbitMQ, RabbitMQMissing

Make = Callable[[Path, int], SupervisedProcess]


class _Ok(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def another() -> Iterator[int]:
    """The port of another process, as far as ours can tell: it answers every request with 200."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Ok)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


PROCESSES: dict[str, Make] = {
    "organization": lambda folder, port: web(ORGANIZATION, "organization", {}, port=port, folder=folder),
    "licensing": lambda folder, port: web(LICENSING, "licensing", {}, port=port, folder=folder),
    "gateway": lambda folder, port: Nginx(folder / "gateway", organization_port=1, licensing_port=1, port=port),
    "kafka": lambda folder, port: Kafka(folder / "kafka", port=port),
    "rabbitmq": lambda folder, port: RabbitMQ(folder / "rabbitmq", port=port),
}


@pytest.mark.parametrize("make", PROCESSES.values(), ids=PROCESSES)
def test_it_is_not_ready_while_another_process_answers_on_its_port(make: Make, tmp_path: Path, another: int) -> None:
    try:
        process = make(tmp_path, another)
    except (NginxMissing, RabbitMQMissing) as missing:
        pytest.skip(str(missing))
    # Or it has found out by itself, and ended.
    with pytest.raises((PortTakenError, ProcessDiedError), match=process.name):
        process.start()
    assert not process.is_running


def test_a_valkey_is_not_ready_while_another_one_answers_on_its_port(tmp_path: Path) -> None:
    with Valkey(tmp_path / "another") as another, pytest.raises((PortTakenError, ProcessDiedError)):
        Valkey(tmp_path / "ours", port=another.port).start()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "socks5h://127.0.0.1:1"])
def test_no_proxy_leads_to_a_service_of_the_stack(
    name: str, proxy: str, another: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exception in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(exception, raising=False)
    monkeypatch.setenv(name, proxy)
    assert is_ready(f"http://127.0.0.1:{another}")
