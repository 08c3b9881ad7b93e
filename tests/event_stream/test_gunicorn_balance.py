"""Kept-open connections over the processes of a real gunicorn: divided evenly, again and again, and none is lost."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from http.client import HTTPConnection, HTTPException

import pytest

from devstack.waiting import wait_until
from tests.event_stream.test_web_gunicorn import Gunicorn

CONNECTIONS = 16
ROUNDS = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    server = Gunicorn(tmp_path_factory.mktemp("balance"), WEB_CONCURRENCY="2")
    with server:
        assert wait_until(lambda: len(server.workers()) == 2, within_s=20)
        yield server


@pytest.fixture
def connections(server: Gunicorn) -> Iterator[list[HTTPConnection]]:
    """Each is opened again where an answer has ended it with `Connection: close`."""
    with ExitStack() as stack:
        yield [stack.enter_context(connection(server)) for _ in range(CONNECTIONS)]


def connection(server: Gunicorn) -> closing[HTTPConnection]:
    return closing(HTTPConnection("127.0.0.1", server.port, timeout=30))


def ask(connections: list[HTTPConnection]) -> Counter[int]:
    """How many of the connections each process answers, which all of them have a request under way at once."""
    for each in connections:
        each.request("GET", "/process")
    answers = [each.getresponse() for each in connections]
    assert {answer.status for answer in answers} == {200}
    return Counter(int(answer.read()) for answer in answers)


def are_even(divided: Counter[int], within: set[int]) -> bool:
    return set(divided) == within and max(divided.values()) - min(divided.values()) <= 2


def asked_evenly(connections: list[HTTPConnection], within: set[int]) -> bool:
    return are_even(ask(connections), within)


def test_connections_are_divided_evenly_each_time(server: Gunicorn) -> None:
    workers = server.workers()
    for number in range(ROUNDS):
        with ExitStack() as stack:
            opened = [stack.enter_context(connection(server)) for _ in range(CONNECTIONS)]
            for each in opened:
                each.connect()
            assert wait_until(partial(asked_evenly, opened, workers), within_s=20), number


def test_the_successor_of_a_killed_process_gets_its_share(server: Gunicorn, connections: list[HTTPConnection]) -> None:
    before = set(ask(connections))
    killed = before.pop()
    os.kill(killed, signal.SIGKILL)

    def ask_each() -> Counter[int]:
        divided: Counter[int] = Counter()
        for each in connections:
            try:
                divided += ask([each])
            except (HTTPException, OSError):
                # It was the killed one's.
                each.close()
        return divided

    assert wait_until(
        lambda: killed not in (now := server.workers()) and len(now) == 2 and are_even(ask_each(), now), within_s=30
    )


def test_a_reload_loses_no_request_of_a_connection_that_is_kept_open(
    server: Gunicorn, connections: list[HTTPConnection]
) -> None:
    before = server.workers()
    ask(connections)
    os.kill(server.pid, signal.SIGHUP)

    assert wait_until(lambda: are_even(ask(connections), now := server.workers()) and not now & before, within_s=60)


def test_a_process_that_hangs_keeps_no_connection_waiting(server: Gunicorn, connections: list[HTTPConnection]) -> None:
    ask(connections)
    frozen = min(server.workers())
    others = server.workers() - {frozen}
    own = [each for each in connections if set(ask([each])) == {frozen}]
    # It has fewer connections than the other, and so would be the one to accept.
    for each in own:
        each.close()
    os.kill(frozen, signal.SIGSTOP)
    try:
        assert set(ask(own)) == others
    finally:
        os.kill(frozen, signal.SIGCONT)
