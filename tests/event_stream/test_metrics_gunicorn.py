"""`/metrics` of a server of several processes, which die and are replaced."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import psutil
import pytest

from devstack.waiting import wait_until
from tests.event_stream.scraped import scrape
from tests.event_stream.test_web_gunicorn import Gunicorn

PROCESSES = 2
COUNT = "http_request_duration_seconds_count"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Gunicorn]]:
    started: list[Gunicorn] = []

    def start() -> Gunicorn:
        started.append(Gunicorn(tmp_path, WEB_CONCURRENCY=str(PROCESSES), WEB_THREADS="1"))
        started[-1].start()
        assert wait_until(lambda: len(started[-1].workers()) == PROCESSES, within_s=20)
        return started[-1]

    yield start
    for server in started:
        server.stop()


def ask(server: Gunicorn, times: int) -> None:
    """Each over a connection of its own, so that all processes get some."""
    with httpx.Client(timeout=20, headers={"Connection": "close"}) as client:
        for _ in range(times):
            assert client.get(f"{server.url}/context").status_code == 200


def counted(server: Gunicorn) -> float:
    return scrape(server.url).total(COUNT, route="/context", method="GET", status="200")


def folders(pid: int) -> list[Path]:
    """Of the master with this process id."""
    return [
        path for root in ("/dev/shm", tempfile.gettempdir()) for path in Path(root).glob(f"gunicorn-metrics-{pid}-*")
    ]


def files(pid: int) -> set[str]:
    return {path.name for folder in folders(pid) for path in folder.iterdir()}


def replaced(server: Gunicorn, *gone: int) -> bool:
    """Whether none of these processes is there, and as many as there should be are."""
    return not set(gone) & server.workers() and len(server.workers()) == PROCESSES


def test_whichever_process_is_asked_tells_what_all_have_counted(start: Callable[[], Gunicorn]) -> None:
    server = start()
    ask(server, 40)
    for missing in range(3):
        httpx.get(f"{server.url}/nowhere/{missing}", timeout=20)
        httpx.request("BREW", f"{server.url}/context", timeout=20)

    # Asked often enough to be answered by each process.
    assert [counted(server) for _ in range(3 * PROCESSES)] == [40] * 3 * PROCESSES
    found = scrape(server.url)
    assert found.total(COUNT, route="(none)", status="404") == 3
    assert found.total(COUNT, method="other") == 3
    assert found.total("http_request_duration_seconds_bucket", route="/context", method="GET", le="+Inf") == 40


def test_what_dead_processes_have_counted_stays_and_their_files_do_not_pile_up(
    start: Callable[[], Gunicorn],
) -> None:
    server = start()
    ask(server, 20)
    expected = 20
    for round_ in range(3):
        victim = sorted(server.workers())[round_ % PROCESSES]
        os.kill(victim, signal.SIGKILL)
        assert wait_until(partial(replaced, server, victim), within_s=30)
        ask(server, 4)
        expected += 4
        assert counted(server) == expected
    for _ in range(2):
        before = server.workers()
        os.kill(server.pid, signal.SIGHUP)
        assert wait_until(partial(replaced, server, *before), within_s=60)
        ask(server, 4)
        expected += 4
        assert counted(server) == expected

    # As many as processes were there at once: old and new ones during a reload.
    kinds = {name.rpartition("_")[0] for name in files(server.pid)}
    assert len(files(server.pid)) <= len(kinds) * 2 * PROCESSES


def test_a_dead_process_has_no_gauge(start: Callable[[], Gunicorn]) -> None:
    server = start()
    assert wait_until(
        lambda: scrape(server.url).total("event_stream_circuit_open", circuit="demo") == PROCESSES, within_s=20
    )
    gauges = {name for name in files(server.pid) if name.startswith("gauge_live")}
    assert len(gauges) == PROCESSES
    for pid in server.workers():
        # It must not come back while the others are looked at.
        os.kill(pid, signal.SIGSTOP)
    [victim, *others] = sorted(server.workers())
    os.kill(victim, signal.SIGKILL)
    try:
        assert wait_until(lambda: bool(gauges - files(server.pid)), within_s=20)
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


def test_each_server_begins_with_a_folder_of_its_own_and_takes_it_along(
    start: Callable[[], Gunicorn],
) -> None:
    killed = start()
    ask(killed, 5)
    assert counted(killed) == 5
    dead, children = killed.pid, psutil.Process(killed.pid).children()
    os.kill(dead, signal.SIGKILL)
    for child in children:
        child.kill()
    psutil.wait_procs(children, timeout=20)
    killed.stop()
    assert files(dead)

    server = start()
    assert counted(server) == 0
    assert folders(dead) == []
    pid = server.pid
    assert len(folders(pid)) == 1
    server.stop()
    assert folders(pid) == []
