"""Every read of a load run must have been current at some instant no older than BOUND, whatever happened meanwhile."""

import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import redis

from devstack.cluster import ServiceCluster
from devstack.servers import Servers
from devstack.waiting import wait_until
from tests.consistency.history import STALE, History, Read, Write
from tests.consistency.load import Load, Strict
from tests.e2e.world import DEADLINE_S, Customer, World, redis_database

BOUND_S = 1.0
CLOCK_ERROR_S = 0.01
"""One machine's clock, read in milliseconds by some and microseconds by others."""
READS_A_PHASE = int(os.environ.get("HISTORY_READS", "500"))

WRITES = [Write("a", 1, 0.0, 1.0), Write("a", 2, 10.0, 11.0)]


def read_of(version: int, began_s: float, fresh_at_s: float, cache: str = "hit") -> Read:
    return Read("a", version, began_s, began_s + 0.1, fresh_at_s, cache)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (read_of(1, 5.0, 5.0), []),
        (read_of(2, 20.0, 20.0), []),
        # The write of 2 is under way: both may be current.
        (read_of(1, 10.5, 10.5), []),
        (read_of(2, 10.5, 10.5), []),
        # Superseded at 11, and read within the bound after that.
        (read_of(1, 11.9, 10.9), []),
        (read_of(1, 12.5, 10.9), ["superseded for longer than the bound"]),
        # An answer marked as old may be old, but not older than it says.
        (read_of(1, 99.0, 10.9, STALE), []),
        (read_of(1, 99.0, 11.5, STALE), ["superseded before the instant at which it claims to have been current"]),
        (read_of(1, 11.9, 11.5), ["superseded before the instant at which it claims to have been current"]),
        (read_of(2, 9.0, 9.0), ["from the future"]),
        (read_of(3, 9.0, 9.0), ["no such version was written"]),
    ],
)
def test_the_checker_tells_what_can_not_have_been(seen: Read, why: list[str]) -> None:
    violations = History(WRITES).violations([seen], max_staleness_s=BOUND_S, clock_error_s=CLOCK_ERROR_S)
    assert [violation.why for violation in violations] == why


@pytest.fixture(scope="module")
def world(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    platform = ServiceCluster(
        servers,
        tmp_path_factory.mktemp("history"),
        licensing=2,
        workers=2,
        topic=f"history-{uuid.uuid4().hex}",
        databases=("history_organization", "history_licensing"),
        redis_url=redis_database(servers.redis_url, 14),
        settings={"WEB_CONCURRENCY": "1", "ORGANIZATION_MAX_STALENESS_S": str(BOUND_S)},
    )
    platform.prepare()
    with platform, World(platform) as world:
        yield world


def test_every_read_was_current_within_the_bound(world: World, record_property: Callable[[str, object], None]) -> None:
    customers = [world.customer() for _ in range(12)]
    first, second = world.platform.workers
    with (
        Load(Strict(world), customers) as load,
        redis.Redis.from_url(world.platform.licensing_settings["REDIS_URL"]) as cache,
    ):

        def phase() -> None:
            """Let the clients go on for a while."""
            assert wait_until(load.after(READS_A_PHASE), within_s=120)

        phase()
        # Nobody evicts, and nobody is told so: the watermark stands still.
        first.pause()
        second.pause()
        phase()
        first.resume()
        second.resume()
        phase()
        cache.flushdb()
        phase()
        first.kill()
        phase()
        first.start()
        phase()
    history = History(load.writes)
    violations = list(history.violations(load.reads, max_staleness_s=BOUND_S, clock_error_s=CLOCK_ERROR_S))
    assert violations == []
    # What was put to the test: hits, and some of them older than the newest version while nobody evicted.
    how = Counter(each.cache for each in load.reads)
    stalest_s = max(history.staleness_s(each) for each in load.reads)
    record_property("reads", dict(how))
    record_property("stalest_s", stalest_s)
    assert how["hit"] > READS_A_PHASE
    assert any(history.staleness_s(each) > 0 for each in load.reads), "nothing was ever late: nothing was tried"


def test_after_quiescence_every_instance_is_current(world: World) -> None:
    customers = [world.customer() for _ in range(4)]
    with Load(Strict(world), customers) as load:
        assert wait_until(load.after(READS_A_PHASE // 5), within_s=120)
    history = History(load.writes)
    for customer in customers:
        for instance in (0, 1):
            catches_up = partial(_is_current, world, history, customer, instance)
            assert wait_until(catches_up, within_s=DEADLINE_S)


def _is_current(world: World, history: History, customer: Customer, instance: int) -> bool:
    return world.lookup(customer, instance).version == history.newest(customer.id)
