"""The probes of real workers and relays, through the script of the image's health check too."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.cluster import relay, worker
from devstack.environment import ROOT
from devstack.ports import free_port
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, World, fresh, redis_database
from tests.event_stream.scraped import scrape

NOWHERE = "127.0.0.1:1"


def probe(url: str, path: str = "/health/ready") -> tuple[int, dict[str, Any]]:
    """Nothing answers at first: (0, {})."""
    try:
        # As an orchestrator does, which has an address and no name.
        answer = httpx.get(f"{url}{path}", headers={"Host": "10.1.2.3:9100"}, timeout=20)
    except httpx.TransportError:
        return 0, {}
    return answer.status_code, answer.json()


def becomes(url: str, status: int, **checks: str) -> dict[str, Any]:
    """The answer, once it has this status and these states."""
    found: list[dict[str, Any]] = []

    def look() -> bool:
        answered, body = probe(url)
        found[:] = [body]
        return answered == status and checks.items() <= body["checks"].items()

    assert wait_until(look, within_s=DEADLINE_S), f"{url}: {found}"
    return found[0]


def health_check(url: str) -> int:
    script = [sys.executable, str(ROOT / "deploy/healthcheck.py")]
    # The image sets BIND for whatever runs in it.
    environment = {"BIND": "0.0.0.0:1", "PROBES_BIND": f"0.0.0.0:{httpx.URL(url).port}", "PATH": os.environ["PATH"]}
    return subprocess.run(script, env=environment, capture_output=True, check=False, timeout=30).returncode


@pytest.fixture
def start(world: World, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start a worker or a relay with these settings beside the platform's; the URL of its probes."""
    started: list[SupervisedProcess] = []

    def start(make: Callable[..., SupervisedProcess], settings: dict[str, str], **own: str) -> str:
        port = free_port()
        settings = {**settings, "PROBES_BIND": f"127.0.0.1:{port}", **own}
        started.append(make(fresh("probed"), settings, folder=tmp_path).spawn())
        return f"http://127.0.0.1:{port}"

    yield start
    for process in started:
        process.stop()


def test_the_workers_of_the_platform_are_ready(world: World) -> None:
    for url in world.platform.worker_urls:
        body = becomes(url, 200)
        assert body.pop("configuration")["error"] == ""
        assert body == {
            "status": "UP",
            "checks": dict.fromkeys(("loop", "partitions", "platform", "handler", "cache"), "UP"),
        }
        assert probe(url, "/health/live") == (200, {"status": "UP"})
        assert health_check(url) == 0


def test_a_worker_that_waits_for_its_platform_is_live_and_not_ready(world: World, start: Callable[..., str]) -> None:
    away = {
        "KAFKA_BOOTSTRAP_SERVERS": NOWHERE,
        "EVENT_REDIS_URL": f"redis://{NOWHERE}/0",
        "RABBITMQ_URL": f"amqp://{NOWHERE}",
    }
    url = start(worker, world.platform.licensing_settings, LICENSING_GROUP=fresh("group"), **away)
    body = becomes(url, 503, loop="DOWN")
    assert "has not begun" in body["details"]["loop"]
    assert probe(url, "/health/live") == (200, {"status": "UP"})
    assert health_check(url) == 1


def test_a_worker_without_its_cache_is_not_ready_until_it_is_back(world: World, start: Callable[..., str]) -> None:
    url = start(
        worker, world.platform.licensing_settings, LICENSING_GROUP=fresh("group"), REDIS_URL=f"redis://{NOWHERE}/0"
    )
    becomes(url, 503, handler="DOWN", cache="DOWN")
    found = scrape(url)
    assert found.value("event_stream_metrics_source_up", source="cache") == 0
    assert found.values("event_stream_cache_watermark_age_seconds") == []
    assert found.value("event_stream_worker_failing_partitions", binding="inboundOrgChanges") > 0
    url = start(
        worker,
        world.platform.licensing_settings,
        LICENSING_GROUP=fresh("group"),
        REDIS_URL=redis_database(world.platform.servers.redis_url, 13),
    )
    becomes(url, 200)


def test_a_relay_that_stands_by_is_ready_and_one_without_a_database_is_not(
    world: World, start: Callable[..., str]
) -> None:
    settings = world.platform.organization_settings
    standby = start(relay, settings)
    assert becomes(standby, 200, role="STANDBY")["checks"] == {
        "loop": "UP",
        "database": "UP",
        "role": "STANDBY",
        "broker": "UP",
    }
    assert scrape(standby).value("event_stream_relay_leader", embedded="false") == 0
    lost = start(relay, settings, DATABASE_URL=f"postgresql://nobody:x@{NOWHERE}/none")
    becomes(lost, 503, database="DOWN")
    assert probe(lost, "/health/live") == (200, {"status": "UP"})
    assert scrape(lost).value("event_stream_metrics_source_up", source="outbox") == 0
    assert scrape(lost).values("event_stream_outbox_waiting_entries") == []


def test_a_port_that_is_taken_ends_the_command_with_a_sentence(world: World, tmp_path: Path) -> None:
    taken = world.platform.worker_urls[0].removeprefix("http://")
    settings = {**world.platform.licensing_settings, "PROBES_BIND": taken}
    process = worker(fresh("probed"), settings, folder=tmp_path).spawn()
    assert wait_until(lambda: not process.is_running, within_s=DEADLINE_S)
    [line] = [line for line in process.log.read_text().splitlines() if line.startswith("CommandError")]
    assert f"EVENT_STREAM_METRICS['probes'] is {taken}; it should be an address of this machine" in line
