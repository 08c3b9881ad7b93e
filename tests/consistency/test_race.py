"""Fill against evict, forced: the reader has read, the change commits and evicts, and then the reader fills.

Plain cache-aside keeps what the reader brought, for ever. It runs here as the control: were it never stale, the race
would not have been forced, and the licensing service's 0 would prove nothing.
"""

import os
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import psycopg
import pytest

from devstack.cluster import ServiceCluster
from devstack.ports import free_port
from devstack.servers import Servers
from devstack.waiting import wait_until
from tests.consistency.gate import Gate
from tests.consistency.subjects import Subject, cache_aside, licensing
from tests.e2e.world import DEADLINE_S, Customer, World, fresh, redis_database

RACES = int(os.environ.get("FORCED_RACES", "100"))
CONTROL_RACES = 50
AT_ONCE = 10
"""Races under way at a time, each with an organization of its own."""


@dataclass(frozen=True, slots=True)
class Race:
    """How one came out. `overtaken`: the reader was answered with what the change had overtaken meanwhile."""

    overtaken: bool
    stale: bool


class Track:
    """Runs races on one subject."""

    def __init__(self, world: World, gate: Gate, subject: Subject) -> None:
        self._world = world
        self._gate = gate
        self._subject = subject
        self._outbox = psycopg.connect(world.platform.organization_settings["DATABASE_URL"], autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outbox.close()

    def run(self, races: int) -> list[Race]:
        customers = [self._world.customer() for _ in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            rounds = pool.map(lambda customer: [self._race(customer) for _ in range(races // AT_ONCE)], customers)
            return [race for of_customer in rounds for race in of_customer]

    def _race(self, customer: Customer) -> Race:
        # Whatever is cached goes first, so that the reader has to ask.
        self._change(customer)
        held = self._gate.hold(customer.id)
        with ThreadPoolExecutor(1) as one:
            reader = one.submit(self._subject.version, customer, 0)
            try:
                assert held.in_hand.wait(DEADLINE_S), f"the reader did not ask: was it cached? {reader}"
                version = self._change(customer)
            finally:
                held.go.set()
            read = reader.result()
        answers = [self._subject.version(customer, instance) for instance in range(self._subject.instances)]
        return Race(overtaken=read < version, stale=any(answer < version for answer in answers))

    def _change(self, customer: Customer) -> int:
        """Returns the new version once its event has been applied to the cache."""
        version = int(self._world.change(customer, fresh("contact")).headers["Organization-Version"])
        assert wait_until(lambda: self._is_applied(customer, version), within_s=DEADLINE_S, every_s=0.005)
        return version

    def _is_applied(self, customer: Customer, version: int) -> bool:
        statement = 'SELECT partition, "offset" FROM event_stream_outbox WHERE key = %s AND version = %s'
        row = self._outbox.execute(statement, [customer.id, version]).fetchone()
        assert row is not None, "a committed change without its event"
        partition, offset = row
        return offset is not None and self._subject.applied(partition) >= offset


@pytest.fixture(scope="module")
def raced(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Gate]]:
    """A platform whose licensing services ask for organizations through a gate."""
    org_port = free_port()
    gate = Gate(f"http://127.0.0.1:{org_port}", DEADLINE_S)
    platform = ServiceCluster(
        servers,
        tmp_path_factory.mktemp("race"),
        org_port=org_port,
        asked_at=gate.url,
        licensing=2,
        workers=2,
        topic=f"race-{uuid.uuid4().hex}",
        databases=("race_organization", "race_licensing"),
        redis_url=redis_database(servers.redis_url, 12),
        settings={
            "WEB_CONCURRENCY": "1",
            "WEB_THREADS": "16",
            # No answer is given up and no entry goes by itself while a race is on.
            "ORGANIZATION_CONNECT_TIMEOUT_S": str(DEADLINE_S),
            "ORGANIZATION_READ_TIMEOUT_S": str(DEADLINE_S),
            "ORGANIZATION_LOOKUP_BUDGET_S": str(2 * DEADLINE_S),
            "ORGANIZATION_MAX_STALENESS_S": "600",
        },
    )
    platform.prepare()
    with gate, platform, World(platform) as world:
        yield world, gate


def test_a_fill_that_an_eviction_overtook_is_never_kept(raced: tuple[World, Gate]) -> None:
    world, gate = raced
    with licensing(world) as subject, Track(world, gate, subject) as track:
        races = track.run(RACES)
    assert all(race.overtaken for race in races), "a race that was not forced proves nothing"
    assert sum(race.stale for race in races) == 0


def test_plain_cache_aside_keeps_it(
    raced: tuple[World, Gate], servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> None:
    world, gate = raced
    redis_url = redis_database(servers.redis_url, 13)
    folder = tmp_path_factory.mktemp("control")
    with cache_aside(world, gate, redis_url, folder) as control, Track(world, gate, control) as track:
        races = track.run(CONTROL_RACES)
    assert all(race.overtaken for race in races)
    assert sum(race.stale for race in races) == CONTROL_RACES
