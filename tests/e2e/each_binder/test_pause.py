"""A person pauses the workers' binding: nothing is handled until it is resumed, and then everything is, in order."""

from collections.abc import Iterator

import psycopg
import pytest

from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Watch, World, fresh

BINDING = "inboundOrgChanges"


def licensing_sql(world: World, statement: str, *values: object) -> None:
    with psycopg.connect(world.platform.licensing_settings["DATABASE_URL"]) as connection:
        connection.execute(statement, values)


def pause(world: World) -> None:
    """As the page does; the browser's part is in test_operations_pages."""
    statement = "INSERT INTO event_stream_operations_pause (binding, paused_at, reason) VALUES (%s, now(), '')"
    licensing_sql(world, statement, BINDING)


def resume(world: World) -> None:
    licensing_sql(world, "DELETE FROM event_stream_operations_pause")


@pytest.fixture(autouse=True)
def _resumed(world: World) -> Iterator[None]:
    yield
    resume(world)


def test_what_comes_during_a_pause_is_handled_after_it_in_order(world: World) -> None:
    customer = world.customer()
    world.cached(customer)
    watch = world.watch_workers()
    pause(world)
    # Each worker says so of its partitions.
    paused = wait_until(
        lambda: (
            {part for entry in watch.seen("worker.paused_on_purpose") for part in entry["partitions"]} == set(range(6))
        ),
        within_s=DEADLINE_S,
    )
    assert paused
    contacts = [fresh("contact")[:30] for _ in range(3)]
    last = [world.change(customer, contact) for contact in contacts][-1]
    world.published(customer.id)
    # A worker that is started now follows, too.
    restarted = world.platform.workers[0]
    restarted.restart()
    Watch([restarted], from_start=True).wait("worker.paused_on_purpose")
    assert watch.seen("eviction.applied") == []
    assert {(lookup.cache, lookup.contact) for lookup in world.lookups(customer)} == {("hit", "Ann")}

    resume(world)

    watch.eviction(customer.id, last.headers["tmx-correlation-id"])
    assert {lookup.contact for lookup in world.lookups(customer)} == {contacts[-1]}
