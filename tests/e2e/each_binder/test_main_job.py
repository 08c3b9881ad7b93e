"""One transaction, followed by its correlation id from the click to the evicted key."""

import json
import re
import uuid
from typing import Any

import pytest

from devstack.waiting import wait_until
from event_stream.messaging.partitioner import partition_for
from event_stream.user_context import CORRELATION_ID
from tests.e2e.admin import Admin
from tests.e2e.world import DEADLINE_S, Customer, Watch, World, fresh, header_texts

PARTITIONS = 6
REPLACED = f"{CORRELATION_ID}-replaced"


def follow(world: World, customer: Customer, correlation_id: str, web: Watch, workers: Watch) -> None:
    """See it in each place that the change has passed."""
    # The organization service's log: the request, and the message on its way.
    web.wait("http.request", correlation_id=correlation_id)
    assert wait_until(
        lambda: any(correlation_id in batch["correlation_ids"] for batch in web.seen("outbox.batch")),
        within_s=DEADLINE_S,
    )
    # The outbox.
    event = world.published(customer.id)
    assert event.correlation_id == correlation_id
    assert event.partition == partition_for(customer.id.encode(), PARTITIONS)
    # The record: key, headers and payload.
    record = world.record(event)
    assert record.key == customer.id.encode()
    assert header_texts(record)[CORRELATION_ID] == correlation_id
    payload = json.loads(record.value or b"")
    assert payload == event.payload
    assert payload["correlationId"] == correlation_id
    assert (payload["organizationId"], payload["version"]) == (customer.id, event.version)
    # The worker: the batch with the record's offset, and the evicted key.
    eviction = workers.eviction(customer.id, correlation_id)
    assert eviction["partition"] == event.partition
    assert holds(eviction, record.offset)
    [batch] = [
        entry
        for entry in workers.seen("worker.batch", partition=event.partition)
        if correlation_id in entry["correlation_ids"]
    ]
    assert holds(batch, record.offset)


def holds(batch: dict[str, Any], offset: int) -> bool:
    return bool(batch["first_offset"] <= offset <= batch["last_offset"])


@pytest.fixture
def web(world: World) -> Watch:
    return Watch([world.platform.organization])


@pytest.fixture
def customer(world: World) -> Customer:
    """Cached at each licensing service."""
    customer = world.customer()
    world.cached(customer)
    return customer


def test_the_main_job(world: World, customer: Customer, web: Watch) -> None:
    contact, correlation_id = fresh("contact"), fresh("order")
    workers = world.watch_workers()

    answer = world.change(customer, contact, correlation_id=correlation_id)

    assert answer.headers[CORRELATION_ID] == correlation_id
    assert REPLACED not in answer.headers
    follow(world, customer, correlation_id, web, workers)
    assert [(each.cache, each.contact) for each in world.lookups(customer)] == [("miss", contact), ("hit", contact)]


def test_a_click_in_the_admin_is_given_an_id(world: World, customer: Customer, web: Watch, admin: Admin) -> None:
    workers = world.watch_workers()

    form = admin.get(f"/organizations/organization/{customer.id}/change/")
    saved = admin.submit(form, {"contact_name": fresh("contact")}).history[0]

    minted = saved.headers[CORRELATION_ID]
    assert uuid.UUID(minted)
    follow(world, customer, minted, web, workers)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [("a b", "holds characters that are not allowed"), ("x" * 129, "longer than 128 characters")],
    ids=["characters", "length"],
)
def test_a_bad_id_is_replaced_and_that_is_said(
    world: World, customer: Customer, web: Watch, sent: str, reason: str
) -> None:
    workers = world.watch_workers()

    answer = world.change(customer, fresh("contact"), correlation_id=sent)

    minted = answer.headers[CORRELATION_ID]
    assert uuid.UUID(minted)
    assert answer.headers[REPLACED] == reason
    web.wait("correlation.replaced", correlation_id=minted, reason=reason)
    follow(world, customer, minted, web, workers)


def test_a_miss_asks_the_organization_service_in_the_same_transaction(world: World) -> None:
    customer = world.customer()
    correlation_id = fresh("lookup")
    asked = Watch([world.platform.licensing[0]]), Watch([world.platform.organization])

    world.ask(customer, 0, **{CORRELATION_ID: correlation_id, "Cache-Control": "no-cache"})

    paths = [watch.wait("http.request", correlation_id=correlation_id)["path"] for watch in asked]
    assert paths == [customer.license, customer.path]


def test_the_admin_links_to_everything_of_a_transaction(world: World, customer: Customer, admin: Admin) -> None:
    correlation_id = fresh("order")
    world.change(customer, fresh("contact"), correlation_id=correlation_id)
    world.published(customer.id)

    form = admin.get(f"/organizations/organization/{customer.id}/change/").text

    [link] = re.findall(f'href="/admin(/[^"]*{correlation_id}[^"]*)"', form)
    trace = admin.get(link).text
    assert customer.id in trace
    assert "1 message: 1 sent" in trace
