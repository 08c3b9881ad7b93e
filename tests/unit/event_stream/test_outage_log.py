"""An outage is one line, and its end another."""

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from event_stream.outage_log import OutageLog
from tests.event_stream.cache_world import FakeClock

logger = logging.getLogger("tests.outages")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.message = record.getMessage()
        self.records.append(record)


@pytest.fixture
def lines() -> Iterator[list[logging.LogRecord]]:
    handler = Lines()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)


def make(clock: FakeClock, **options: Any) -> OutageLog:
    return OutageLog(logger, began="server.away", ended="server.back", monotonic_s=clock.monotonic_s, **options)


def events(lines: list[logging.LogRecord]) -> list[str]:
    return [line.message for line in lines]


def test_it_is_said_once_when_it_begins_and_once_when_it_is_over(clock: FakeClock, lines: Any) -> None:
    outages = make(clock, fields={"server": "redis"})
    outages.succeeded()
    for _ in range(3):
        outages.failed(OSError("away"), attempt=1)
        clock.advance(1.5)
    assert outages.is_on()
    outages.succeeded()
    outages.succeeded()
    assert not outages.is_on()
    assert [(line.message, line.levelname) for line in lines] == [("server.away", "WARNING"), ("server.back", "INFO")]
    began, ended = map(vars, lines)
    assert (began["error"], began["attempt"], began["server"]) == ("away", 1, "redis")
    assert (ended["outage_s"], ended["failures"], ended["server"]) == (pytest.approx(4.5), 3, "redis")
    assert "cause" not in began
    outages.failed("again")
    assert events(lines) == ["server.away", "server.back", "server.away"]


def test_each_cause_has_an_outage_of_its_own(clock: FakeClock, lines: Any) -> None:
    outages = make(clock)
    for cause in ("full", "slow", "full", "slow", "away"):
        outages.failed("no", cause)
    assert [vars(line)["cause"] for line in lines] == ["full", "slow", "away"]
    outages.succeeded("slow", "never met")
    assert [vars(line)["cause"] for line in lines[3:]] == ["slow"]
    assert [outages.is_on(cause) for cause in ("full", "slow", "away")] == [True, False, True]
    outages.succeeded()
    assert [vars(line)["cause"] for line in lines[4:]] == ["full", "away"]


def test_a_server_that_fails_every_other_time_is_one_outage(clock: FakeClock, lines: Any) -> None:
    outages = make(clock, quiet_s=5)
    for _ in range(10):
        outages.failed("no")
        clock.advance(1)
        outages.succeeded()
        clock.advance(1)
    assert events(lines) == ["server.away"]
    clock.advance(3)
    outages.succeeded()
    clock.advance(60)
    assert events(lines) == ["server.away", "server.back"]
    # From the first failure to the success after the last one.
    assert (vars(lines[1])["outage_s"], vars(lines[1])["failures"]) == (pytest.approx(19), 10)


def test_work_that_began_before_tells_of_the_time_before(clock: FakeClock, lines: Any) -> None:
    outages = make(clock)
    before_s = clock.monotonic_s()
    clock.advance(1)
    outages.failed("no", begun_s=clock.monotonic_s())
    outages.succeeded(begun_s=before_s)
    assert outages.is_on()
    during_s = clock.monotonic_s()
    clock.advance(1)
    outages.succeeded(begun_s=during_s)
    outages.failed("late", begun_s=during_s)
    assert not outages.is_on()
    outages.failed("new", begun_s=clock.monotonic_s())
    assert events(lines) == ["server.away", "server.back", "server.away"]


def test_many_threads_make_one_line(clock: FakeClock, lines: Any) -> None:
    outages = make(clock, level=logging.ERROR, cause_field="check")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: outages.failed("no", "database"), range(400)))
        list(pool.map(lambda _: outages.succeeded("database"), range(400)))
    assert [(line.levelname, vars(line)["check"]) for line in lines] == [("ERROR", "database"), ("INFO", "database")]
    assert vars(lines[1])["failures"] == 400


def test_the_last_failure_of_an_outage_is_known_until_it_is_over(clock: FakeClock) -> None:
    outage = make(clock)
    assert outage.error() is None
    outage.failed("first")
    outage.failed("second")
    assert outage.error() == "second"
    assert outage.error("another") is None
    outage.succeeded()
    assert outage.error() is None
