"""Redis is away, or does not answer: lookups go on, cost little, and say so once."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from devstack.valkey import Valkey
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import CacheStatus, Deadline, Fetched, FreshnessRequirement, ReadThrough, State
from event_stream.fenced_cache.read_through import CircuitBreaker
from tests.event_stream.cache_world import PAYLOAD, FakeClock, caches_at, new_cache

ID = "4d10ec24-141a-4980-be34-2ddb5e0458c7"
OTHER = "0c8a4d6f-8e1f-4a43-9e3c-1b7d0d9e5a11"
TIMEOUT_S = 0.2


def fetch(id: str, budget: Deadline) -> Fetched:
    return Fetched(7, PAYLOAD)


class Server:
    """Answers or not; counts how often it was asked."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    def __call__(self) -> str:
        self.asked += 1
        if self.away:
            raise UnavailableError("away")
        return "here"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def server() -> Server:
    return Server()


def test_after_a_failure_nobody_tries_for_a_while_then_one_does(clock: FakeClock, server: Server) -> None:
    outage = CircuitBreaker(clock, cool_down_s=1.0)
    assert outage.attempt(server) == "here"
    server.away = True
    assert [outage.attempt(server) for _ in range(5)] == [None] * 5
    assert server.asked == 2
    clock.advance(1)
    assert [outage.attempt(server) for _ in range(5)] == [None] * 5
    assert server.asked == 3
    clock.advance(1)
    server.away = False
    assert [outage.attempt(server) for _ in range(5)] == ["here"] * 5
    assert server.asked == 8


def test_only_one_thread_probes_while_the_others_go_on(clock: FakeClock) -> None:
    outage = CircuitBreaker(clock, cool_down_s=1.0)

    def fail() -> None:
        raise UnavailableError("away")

    outage.attempt(fail)
    clock.advance(1)
    probing, go_on = threading.Event(), threading.Event()

    def probe() -> str:
        probing.set()
        assert go_on.wait(10)
        return "here"

    thread = threading.Thread(target=outage.attempt, args=(probe,))
    thread.start()
    assert probing.wait(10)
    assert outage.attempt(lambda: "asked") is None
    go_on.set()
    thread.join(10)
    assert outage.attempt(lambda: "asked") == "asked"


def test_an_outage_is_one_line_and_its_end_another(
    clock: FakeClock, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    outage = CircuitBreaker(clock, cool_down_s=1.0)
    with caplog.at_level("INFO", "event_stream.fenced_cache"):
        for away in (True, True, True, False, False, True):
            server.away = away
            outage.attempt(server)
            clock.advance(1.5)
    assert [(record.message, record.levelname) for record in caplog.records] == [
        ("cache.unreachable", "WARNING"),
        ("cache.reachable", "INFO"),
        ("cache.unreachable", "WARNING"),
    ]
    assert vars(caplog.records[0])["error"] == "away"
    assert vars(caplog.records[1])["outage_s"] == pytest.approx(4.5)


def test_another_kind_of_error_is_no_outage(clock: FakeClock) -> None:
    outage = CircuitBreaker(clock, cool_down_s=1.0)

    def mistake() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        outage.attempt(mistake)
    assert not outage.on


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    with Valkey(tmp_path / "valkey", durable=False) as server:
        yield server


@pytest.fixture
def lookup(valkey: Valkey, clock: FakeClock) -> Iterator[ReadThrough]:
    with caches_at(valkey.url(), SOCKET_TIMEOUT=TIMEOUT_S, SOCKET_CONNECT_TIMEOUT=TIMEOUT_S):
        yield ReadThrough(new_cache(clock), fetch)


def sources(lookup: ReadThrough, count: int) -> list[CacheStatus]:
    return [lookup.find(ID).source for _ in range(count)]


def test_lookups_go_on_while_redis_is_down_and_use_it_again_when_it_is_back(
    valkey: Valkey, lookup: ReadThrough, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    assert sources(lookup, 2) == [CacheStatus.MISS, CacheStatus.HIT]
    valkey.kill()
    assert sources(lookup, 3) == [CacheStatus.BYPASS] * 3
    clock.advance(1)
    assert sources(lookup, 3) == [CacheStatus.BYPASS] * 3
    valkey.start()
    assert sources(lookup, 3) == [CacheStatus.BYPASS] * 3
    clock.advance(1)
    # It came back empty.
    assert sources(lookup, 3) == [CacheStatus.MISS, CacheStatus.HIT, CacheStatus.HIT]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == ["cache.unreachable"]


def test_a_redis_that_hangs_costs_one_lookup_its_timeout_and_the_next_ones_nothing(
    valkey: Valkey, lookup: ReadThrough, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sources(lookup, 2) == [CacheStatus.MISS, CacheStatus.HIT]
    cache = lookup._cache
    reads = 0
    real = cache.read

    def counted(id: str) -> object:
        nonlocal reads
        reads += 1
        return real(id)

    monkeypatch.setattr(cache, "read", counted)
    valkey.pause()
    try:
        assert sources(lookup, 50) == [CacheStatus.BYPASS] * 50
    finally:
        valkey.resume()
    assert reads == 1


def test_an_answer_is_given_even_if_redis_goes_away_before_it_is_kept(valkey: Valkey, clock: FakeClock) -> None:
    def fetch_and_kill(id: str, budget: Deadline) -> Fetched:
        valkey.kill()
        return Fetched(7, PAYLOAD)

    with caches_at(valkey.url(), SOCKET_TIMEOUT=TIMEOUT_S, SOCKET_CONNECT_TIMEOUT=TIMEOUT_S):
        found = ReadThrough(new_cache(clock), fetch_and_kill).find(ID, FreshnessRequirement(min_version=7))
    assert found.value == PAYLOAD


def test_scripts_are_loaded_again_into_a_server_that_lost_them(valkey: Valkey, clock: FakeClock) -> None:
    with caches_at(valkey.url(), SOCKET_TIMEOUT=TIMEOUT_S, SOCKET_CONNECT_TIMEOUT=TIMEOUT_S):
        cache = new_cache(clock)
        assert ReadThrough(cache, fetch).find(ID).source is CacheStatus.MISS
        valkey.restart()
        assert cache.read(ID).state is State.MISS
        assert ReadThrough(cache, fetch).find(ID).source is CacheStatus.MISS
        assert cache.read(ID).state is State.HIT


def test_a_full_server_serves_what_it_has_and_says_once_that_it_takes_no_more(
    valkey: Valkey, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caches_at(valkey.url()), redis.Redis.from_url(valkey.url()) as client:
        cache = new_cache(clock)
        lookup = ReadThrough(cache, fetch)
        assert sources(lookup, 2) == [CacheStatus.MISS, CacheStatus.HIT]
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", used // 2)
        with caplog.at_level("INFO", "event_stream.fenced_cache"):
            for _ in range(5):
                # One is kept, as far as it can be proven; the other is asked for, and that costs no wait.
                assert lookup.find(ID).source is CacheStatus.HIT
                assert lookup.find(OTHER).source is CacheStatus.BYPASS
                clock.advance(1.1)
            client.config_set("maxmemory", 0)
            assert lookup.find(OTHER).source is CacheStatus.MISS
            assert lookup.find(OTHER).source is CacheStatus.HIT
        assert [record.message for record in caplog.records] == ["cache.refuses_writes", "cache.takes_writes"]
        assert "maxmemory" in vars(caplog.records[0])["error"]
