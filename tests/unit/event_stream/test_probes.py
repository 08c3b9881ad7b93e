"""The port of a worker or a relay: what it answers, for whatever name it is asked under."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.core.management.base import CommandError
from pytest_django import Settings

from event_stream import signals
from event_stream.binders.memory import MemoryBinder
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.errors import ConfigurationError, UnavailableError
from event_stream.messaging.message import ProducerRecord
from event_stream.metrics import probes
from event_stream.metrics.probes import ProbeServer, RelayLoop, WorkerLoop
from event_stream.metrics.settings import metrics_settings
from event_stream.testing.waiting import wait_until
from tests.event_stream.handlers import Outage, Recorder
from tests.event_stream.running import running
from tests.event_stream.scraped import scrape

SETTINGS = ConsumerSettings(poll_timeout_ms=20, idle_interval_ms=10, retry_initial_ms=1, retry_max_ms=20)
BINDING = Binding("probed", "things", "memory", group="readers", consumer=SETTINGS)


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@contextmanager
def served(loop: WorkerLoop | RelayLoop, **options: Any) -> Iterator[str]:
    server = ProbeServer(("127.0.0.1", 0), loop, **options)
    server.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()


def get(url: str, path: str = "/health/ready") -> tuple[int, dict[str, Any]]:
    answer = httpx.get(f"{url}{path}", timeout=20)
    return answer.status_code, answer.json()


def test_a_worker_is_ready_while_it_does_its_job() -> None:
    binder, server = MemoryBinder("memory", {"partitions": 2}), Outage()

    def answer(_batch: object) -> None:
        server.check()

    loop = WorkerLoop()
    loop.connect()
    with served(loop) as url:
        status, body = get(url)
        assert (status, body["status"], body["checks"]["loop"]) == (503, "DOWN", "DOWN")
        assert "has not begun" in body["details"]["loop"]
        # It is not to be killed for that.
        assert get(url, "/health/live") == (200, {"status": "UP"})

        handler = Recorder(answer=answer)
        with running(binder, BINDING, handler) as process:
            wait_until(lambda: get(url)[0] == 200, "it is ready")
            checks = dict.fromkeys(("loop", "partitions", "platform", "handler"), "UP")
            assert get(url) == (200, {"status": "UP", "checks": checks})
            server.away.set()
            binder.append(ProducerRecord("things", None, b"a"))
            wait_until(lambda: get(url)[0] == 503, "it waits for its server")
            _, body = get(url)
            assert body["checks"] == checks | {"handler": "DOWN"}
            assert "the server is away" in body["details"]["handler"]
            assert get(url, "/health/live")[0] == 200
            # Paused by a person it is doing what it should.
            process.worker.pause(Pauses(whole=True))
            wait_until(lambda: get(url)[0] == 200, "it is ready while it is paused")
            assert get(url)[1]["details"] == {"paused": "by a person: partition 0, 1"}
            assert scrape(url).value("event_stream_worker_paused_partitions", binding="probed") == 2
            assert scrape(url).value("event_stream_worker_failing_partitions", binding="probed") == 0
            process.worker.pause(NO_PAUSES)
            server.away.clear()
            wait_until(lambda: get(url) == (200, {"status": "UP", "checks": checks}), "it is ready again")


def test_a_loop_that_is_stuck_is_not_live_and_its_probes_are_answered() -> None:
    watch, binder, server = Watch(), MemoryBinder("memory", {"partitions": 1}), Outage()
    loop = WorkerLoop(watch)
    loop.connect()
    with served(loop, stuck_after_s=300.0) as url:
        entered = []

        def hang(_batch: object) -> None:
            entered.append(1)
            while not server.away.wait(0.05):
                pass

        with running(binder, BINDING, Recorder(answer=hang)):
            wait_until(lambda: get(url)[0] == 200, "it is ready")
            binder.append(ProducerRecord("things", None, b"a"))
            wait_until(lambda: bool(entered), "it hangs in its handler")
            watch.now_s += 16
            status, body = get(url)
            assert (status, body["details"]["loop"]) == (503, "its last round was 16 s ago")
            assert get(url, "/health/live")[0] == 200
            watch.now_s += 300
            assert get(url, "/health/live") == (503, {"status": "DOWN"})
            server.away.set()
            wait_until(lambda: get(url)[0] == 200, "it goes on")
            assert get(url, "/health/live")[0] == 200


def relay(*, is_leader: bool = False, is_database_away: bool = False, is_broker_away: bool = False) -> Any:
    return SimpleNamespace(is_leader=is_leader, is_database_away=is_database_away, is_broker_away=is_broker_away)


@pytest.mark.parametrize(
    ("state", "status", "checks"),
    [
        (relay(is_leader=True), 200, {"role": "LEADER", "database": "UP", "broker": "UP"}),
        (relay(), 200, {"role": "STANDBY", "database": "UP", "broker": "UP"}),
        (relay(is_leader=True, is_broker_away=True), 200, {"role": "LEADER", "broker": "UNREACHABLE"}),
        (relay(is_database_away=True), 503, {"role": "STANDBY", "database": "DOWN"}),
    ],
)
def test_a_relay_is_ready_as_leader_or_standing_by(state: Any, status: int, checks: dict[str, str]) -> None:
    loop = RelayLoop()
    with served(loop) as url:
        assert get(url)[0] == 503
        loop._polled(state)
        answered, body = get(url)
    assert (answered, body["checks"]["loop"]) == (status, "UP")
    assert checks.items() <= body["checks"].items()


def test_a_check_of_the_service_counts_and_an_outage_of_its_server_is_said() -> None:
    loop, server = WorkerLoop(), Outage()
    server.away.set()
    loop._is_ready = loop._is_reading = True
    loop._rounds.turned()
    with served(loop, checks={"cache": server.check}) as url:
        status, body = get(url)
        assert (status, body["checks"]["cache"], body["details"]) == (503, "DOWN", {"cache": "the server is away"})
        server.away.clear()
        assert get(url)[0] == 200


@pytest.mark.parametrize("host", ["10.1.2.3:9100", "worker-0.workers", "x" * 300, "not a host/.."])
def test_whatever_the_host_it_answers(host: str) -> None:
    with served(WorkerLoop()) as url:
        assert httpx.get(f"{url}/health/live", headers={"Host": host}).status_code == 200


def test_it_answers_what_it_is_for_and_nothing_else() -> None:
    with served(WorkerLoop()) as url:
        assert "event_stream_worker_last_round_timestamp_seconds" in httpx.get(f"{url}/metrics", timeout=20).text
        assert "event_stream_metrics_source_up" in scrape(url).names
        head = httpx.head(f"{url}/health/live")
        assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", "16")
        missing = httpx.get(f"{url}/admin")
        assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")
        assert httpx.post(f"{url}/metrics").status_code == 501
        assert "python" not in str(missing.headers).lower()
        # Silence, and what is no HTTP, hold up nobody else.
        port = int(url.rpartition(":")[2])
        with (
            socket.create_connection(("127.0.0.1", port)) as silent,
            socket.create_connection(("127.0.0.1", port)) as odd,
        ):
            odd.sendall(b"\x16\x03\x01" + b"\xff" * 100 + b"\r\n\r\n")
            assert get(url, "/health/live")[0] == 200
            silent.close()


def test_an_address_that_can_not_be_had_is_named() -> None:
    with served(WorkerLoop()) as url:
        port = int(url.rpartition(":")[2])
        with pytest.raises(ConfigurationError, match=rf"EVENT_STREAM_METRICS\['probes'\] is 127.0.0.1:{port}; .* free"):
            ProbeServer(("127.0.0.1", port), WorkerLoop())


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"probes": "9100"}, "['probes'] is '9100'; it should be host:port"),
        ({"probes": "localhost:70000"}, "['probes'] is 'localhost:70000'"),
        ({"probes": 9100}, "['probes'] is 9100"),
        ({"stuck_after_s": 0}, "['stuck_after_s'] is 0; it should be a number above 0"),
        ({"port": 1}, "['port'] is not known here; known are 'probes', 'stuck_after_s'"),
    ],
)
def test_a_wrong_setting_ends_the_command_and_is_named(settings: Settings, value: dict[str, Any], said: str) -> None:
    settings.EVENT_STREAM_METRICS = value
    with pytest.raises(CommandError) as raised:
        signals.command_started.send(None, role="worker")
    assert said in str(raised.value)


def test_nobody_listens_unless_told_to(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it listens")

    monkeypatch.setattr(probes, "ProbeServer", refuse)
    settings.EVENT_STREAM_METRICS = {}
    signals.command_started.send(None, role="relay")
    settings.EVENT_STREAM_METRICS = {"probes": "[::1]:0"}
    assert metrics_settings().address == ("::1", 0)
    with pytest.raises(AssertionError, match="it listens"):
        signals.command_started.send(None, role="relay")


def test_an_error_of_a_check_is_json() -> None:
    def check() -> None:
        raise UnavailableError('a "quoted" reason\n')

    with served(WorkerLoop(), checks={"odd": check}) as url:
        assert json.loads(httpx.get(f"{url}/health/ready").text)["details"]["odd"] == 'a "quoted" reason\n'
