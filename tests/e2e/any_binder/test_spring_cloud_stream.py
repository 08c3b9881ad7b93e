"""A service on Spring Cloud Stream 4.2 beside ours on one topic: it reads our changes, and its changes evict."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World, fresh
from tests.spring_cloud_stream.service import SpringCloudStream, jar


@pytest.fixture
def spring(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[SpringCloudStream]:
    jar()
    # Only now: most runs skip, and need no platform for that.
    world: World = request.getfixturevalue("world")
    if world.platform.servers.binder != "kafka":
        pytest.skip("Spring Cloud Stream's binder here is Kafka's")
    with SpringCloudStream(world.platform.servers.kafka_bootstrap_servers, world.platform.topic, tmp_path) as spring:
        yield spring


def test_each_reads_what_the_other_sends(spring: SpringCloudStream, request: pytest.FixtureRequest) -> None:
    world: World = request.getfixturevalue("world")
    customer = world.customer()
    spring.wait_for("CREATED", customer.id)
    for action in ("SAVE", "UPDATE", "DELETE"):
        world.cached(customer)
        watch = world.watch_workers()
        correlation_id = fresh("java")
        spring.send(
            type="com.optimagrowth.organization.events.model.OrganizationChangeModel",
            action=action,
            organizationId=customer.id,
            correlationId=correlation_id,
        )
        watch.eviction(customer.id, correlation_id)
        assert [each.cache for each in world.lookups(customer)] == ["miss", "hit"]
    world.change(customer, fresh("contact"))
    spring.wait_for("UPDATED", customer.id)
    world.remove(customer)
    spring.wait_for("DELETED", customer.id)
    assert not world.watch_workers().seen("message.rejected")
