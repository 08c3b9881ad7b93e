"""What a client sees while a part is away, and that all is well once it is back. On servers that may be stopped."""

import dataclasses
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from devstack.cluster import ServiceCluster
from devstack.issuer import make_issuer
from devstack.kafka import Kafka
from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.rabbitmq import RabbitMQ
from devstack.servers import Servers
from devstack.valkey import Valkey, event_valkey
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Customer, Watch, World, fresh, own_databases

PATIENT, STRICT = 0, 1
"""Two licensing services on one cache: to one, an entry is good for two minutes, to the other for two seconds."""
BOUND_S = {PATIENT: "120", STRICT: "2"}


@dataclasses.dataclass(frozen=True, slots=True)
class Fragile:
    """A world with its servers."""

    world: World
    broker: SupervisedProcess
    valkey: Valkey

    def cached(self) -> Customer:
        """A customer that both licensing services find in the cache."""
        customer = self.world.customer()
        for instance in (PATIENT, STRICT):
            # The strict one takes what is there only if a heartbeat came lately.
            assert becomes(self.world, customer, instance, cache="hit")
        return customer


@dataclasses.dataclass(frozen=True, slots=True)
class Outage:
    """Killed: connections are refused. Frozen: they are accepted, and nobody answers."""

    frozen: bool

    def __str__(self) -> str:
        return "frozen" if self.frozen else "killed"

    def begin(self, process: SupervisedProcess) -> None:
        process.pause() if self.frozen else process.kill()

    def end(self, process: SupervisedProcess) -> None:
        process.resume() if self.frozen else process.start()


BOTH = pytest.mark.parametrize("outage", [Outage(frozen=False), Outage(frozen=True)], ids=str)


@pytest.fixture(scope="module")
def fragile(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    folder = tmp_path_factory.mktemp("fragile")
    broker, address = broker_of_its_own(servers.binder, folder)
    valkey = Valkey(folder / "valkey")
    start_in_parallel([broker, valkey])
    try:
        platform = ServiceCluster(
            dataclasses.replace(servers, redis_url=valkey.url(), **address),
            folder,
            licensing=2,
            topic=f"fragile-{uuid.uuid4().hex}",
            databases=own_databases("fragile", servers.binder),
            issuer=make_issuer(folder / "issuer"),
            settings={"WEB_CONCURRENCY": "1", "ORGANIZATION_CIRCUIT_RESET_S": "0.5"},
        )
        for number, process in enumerate(platform.licensing):
            process.env = {**(process.env or {}), "ORGANIZATION_MAX_STALENESS_S": BOUND_S[number]}
        platform.prepare()
        with platform, World(platform) as world:
            yield Fragile(world, broker, valkey)
    finally:
        stop_in_parallel([broker, valkey])


def broker_of_its_own(binder: str, folder: Path) -> tuple[SupervisedProcess, dict[str, Any]]:
    """To be started, and where `Servers` says that it is."""
    if binder == "redis":
        events = event_valkey(folder / "events")
        return events, {"event_redis_url": events.url()}
    if binder == "rabbitmq":
        node = RabbitMQ(folder / "rabbitmq")
        return node, {"rabbitmq_url": node.url}
    # One that was killed is believed to be alive for the length of its session, and let in again after it.
    session = {"broker.session.timeout.ms": "2000", "broker.heartbeat.interval.ms": "500"}
    kafka = Kafka(folder / "kafka", settings=session)
    return kafka, {"kafka_bootstrap_servers": kafka.bootstrap_servers}


def becomes(world: World, customer: Customer, instance: int, **wanted: Any) -> bool:
    """Whether a lookup comes to have these values before the deadline. Each one on the way has to be answered."""

    def look() -> bool:
        lookup = world.lookup(customer, instance)
        return all(getattr(lookup, name) == value for name, value in wanted.items())

    return wait_until(look, within_s=DEADLINE_S)


def is_answered(world: World, customer: Customer, instance: int) -> bool:
    return world.ask(customer, instance).status_code == 200


def test_the_cache_is_in_no_process(fragile: Fragile) -> None:
    customer = fragile.cached()

    fragile.world.platform.licensing[PATIENT].restart()

    assert fragile.world.lookup(customer, PATIENT).cache == "hit"


def test_the_organization_service_is_away(fragile: Fragile) -> None:
    world, known, unknown = fragile.world, fragile.cached(), fragile.cached()
    watch = world.watch_workers()
    watch.eviction(unknown.id, world.change(unknown, fresh("contact")).headers["tmx-correlation-id"])

    world.platform.organization.stop()
    try:
        assert (world.lookup(known, PATIENT).cache, world.lookup(known, PATIENT).contact) == ("hit", "Ann")
        # It is fresh no longer, and nobody can be asked: the last known value, marked as stale.
        assert becomes(world, known, STRICT, cache="stale", contact="Ann")
        stale = world.lookup(known, STRICT).headers
        assert stale["Warning"] == '110 - "Response is Stale"'
        assert int(stale["Age"]) >= int(BOUND_S[STRICT])
        for instance in (PATIENT, STRICT):
            refused = world.ask(unknown, instance)
            assert refused.status_code == 503
            assert refused.headers["Content-Type"] == "application/problem+json"
            assert refused.headers["Cache-Control"] == "no-store"
            assert int(refused.headers["Retry-After"]) >= 1
            assert refused.json()["correlationId"] == refused.headers["tmx-correlation-id"]
    finally:
        world.platform.organization.start()

    # Those who had been turned away are let in again by themselves.
    for instance in (PATIENT, STRICT):
        assert wait_until(partial(is_answered, world, unknown, instance), within_s=DEADLINE_S)
        assert becomes(world, known, instance, cache="hit")


@BOTH
def test_redis_is_away(fragile: Fragile, outage: Outage) -> None:
    world, customer = fragile.world, fragile.cached()
    services = [Watch([process]) for process in world.platform.licensing]
    worker, contact = world.watch_workers(), fresh("contact")

    outage.begin(fragile.valkey)
    try:
        for _ in range(3):
            assert [(each.cache, each.contact) for each in world.lookups(customer)] == [("bypass", "Ann")] * 2
        changed = world.change(customer, contact)
        assert [(each.cache, each.contact) for each in world.lookups(customer)] == [("bypass", contact)] * 2
        worker.wait("worker.paused")
    finally:
        outage.end(fragile.valkey)

    # The change that the worker could not apply was kept for it.
    worker.eviction(customer.id, changed.headers["tmx-correlation-id"])
    for instance, watch in enumerate(services):
        assert becomes(world, customer, instance, cache="hit", contact=contact)
        [began], [ended] = watch.seen("cache.unreachable"), watch.seen("cache.reachable")
        assert began["level"] == "WARNING"
        assert ended["outage_s"] > 0


@BOTH
def test_the_broker_is_away(fragile: Fragile, outage: Outage) -> None:
    world, customer = fragile.world, fragile.cached()
    service = Watch([world.platform.organization])
    first, second = fresh("contact"), fresh("contact")

    outage.begin(fragile.broker)
    try:
        # Answered, though no broker is there to take the message.
        world.change(customer, first)
        # No worker is told, yet no reader is answered with what is older than its bound.
        assert becomes(world, customer, STRICT, contact=first)
        world.change(customer, second)
        assert (world.lookup(customer, PATIENT).cache, world.lookup(customer, PATIENT).contact) == ("hit", first)
        assert not world.event(customer.id).published
        service.wait("outbox.unreachable", server="broker")
        worker = world.watch_workers()
    finally:
        outage.end(fragile.broker)

    worker.eviction(customer.id, world.published(customer.id).correlation_id)
    assert {each.contact for each in world.lookups(customer)} == {second}
    assert len(service.seen("outbox.unreachable")) == 1
    service.wait("outbox.reachable", server="broker")


def test_the_broker_is_away_when_all_else_starts(fragile: Fragile) -> None:
    world, platform, customer = fragile.world, fragile.world.platform, fragile.cached()
    [worker] = platform.workers
    services = [platform.organization, *platform.licensing]
    stop_in_parallel([*services, worker])
    fragile.broker.stop()
    try:
        # Ready without a broker; a worker waits for it.
        start_in_parallel(services)
        worker.spawn()
        watch, contact = Watch([worker], from_start=True), fresh("contact")
        changed = world.change(customer, contact)
        assert becomes(world, customer, STRICT, contact=contact)
        watch.wait("broker.unreachable")
        assert not world.event(customer.id).published
    finally:
        fragile.broker.start()

    worker.wait_ready()
    watch.eviction(customer.id, changed.headers["tmx-correlation-id"])
    assert {each.contact for each in world.lookups(customer)} == {contact}
