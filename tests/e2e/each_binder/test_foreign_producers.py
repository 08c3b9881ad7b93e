"""Messages that are not our organization service's: the book's own service, in Java, and worse."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from devstack.environment import ROOT
from event_stream.conf import Binding
from event_stream.messaging.message import ProducerRecord
from event_stream.messaging.partitioner import partition_for
from tests.e2e.world import Customer, World, fresh

RECORDED: list[dict[str, Any]] = json.loads(
    Path(ROOT / "tests/event_stream/data/spring_cloud_stream_messages.json").read_text()
)["messages"]
BY_ACTION = {json.loads(message["value"])["action"]: message for message in RECORDED}
RECORDED_ID = "1bcb5aa0-69a5-478e-9064-aca2d67601a6"
PARTITIONS = 6
Headers = list[tuple[str, bytes]]


class Foreigner:
    """Sends to the topic past the organization service, and changes organizations without a word."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._producer = world.binder().producer(Binding("foreign", world.platform.topic, "own"))

    def close(self) -> None:
        self._producer.close(20)

    def send(
        self, value: bytes, *, key: bytes | None = None, headers: Headers | None = None, partition: int | None = None
    ) -> int:
        """Returns the offset."""
        [offset] = self.send_all([value], key=key, headers=headers, partition=partition)
        return offset

    def send_all(
        self,
        values: Sequence[bytes],
        *,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int | None = None,
    ) -> list[int]:
        records = [
            ProducerRecord(self._world.platform.topic, key, value, tuple(headers or ()), partition) for value in values
        ]
        return [sent.result(20).offset for sent in [self._producer.send(record) for record in records]]

    def send_as_java_does(self, action: str, customer: Customer, partition: int | None = None) -> None:
        """The recorded bytes, with this organization's id in the place of the recorded one."""
        message = BY_ACTION[action]
        value = message["value"].replace(RECORDED_ID, customer.id)
        assert value != message["value"]
        assert message["key"] is None
        headers = [(name, text.encode()) for name, text in message["headers"]]
        self.send(value.encode(), headers=headers, partition=partition)

    def change_in_silence(self, customer: Customer, contact: str) -> None:
        """As another owner of the table would: none of our triggers, no version, no event."""
        self._world.organization_sql(
            "SET LOCAL session_replication_role = replica; "
            f"UPDATE organizations_organization SET contact_name = '{contact}' WHERE id = '{customer.id}'"
        )
        # No message was sent, so the cached entry counts as fresh. This is what the message is for.
        assert {(each.cache, each.contact) for each in self._world.lookups(customer)} == {("hit", "Ann")}


@pytest.fixture
def foreigner(world: World) -> Iterator[Foreigner]:
    foreigner = Foreigner(world)
    yield foreigner
    foreigner.close()


@pytest.fixture
def customer(world: World) -> Customer:
    """Cached at each licensing service."""
    customer = world.customer()
    world.cached(customer)
    return customer


@pytest.mark.parametrize("action", ["SAVE", "UPDATE", "DELETE"])
def test_the_books_own_message_evicts(world: World, foreigner: Foreigner, customer: Customer, action: str) -> None:
    contact = fresh("contact")
    foreigner.change_in_silence(customer, contact)
    watch = world.watch_workers()

    foreigner.send_as_java_does(action, customer)

    eviction = watch.eviction(customer.id)
    sent = json.loads(BY_ACTION[action]["value"])["correlationId"]
    assert eviction["correlation_ids"] == ([sent] if sent else [])
    assert [(each.cache, each.contact) for each in world.lookups(customer)] == [("miss", contact), ("hit", contact)]


def test_without_a_key_it_evicts_from_any_partition(world: World, foreigner: Foreigner) -> None:
    customer = world.customer()
    home = partition_for(customer.id.encode(), PARTITIONS)

    for partition in range(PARTITIONS):
        world.cached(customer)
        watch = world.watch_workers()
        foreigner.send_as_java_does("UPDATE", customer, partition)
        assert watch.eviction(customer.id)["partition"] == partition
        assert [each.cache for each in world.lookups(customer)] == ["miss", "hit"], f"home is {home}"


def test_reads_and_heartbeats_are_passed_over(world: World, foreigner: Foreigner, customer: Customer) -> None:
    home = partition_for(customer.id.encode(), PARTITIONS)
    watch = world.watch_workers()

    foreigner.send_as_java_does("GET", customer, home)
    foreigner.send(b'{"type":"x","action":"GET","correlationId":""}', partition=home)
    foreigner.send(
        b'{"type":"x","action":"GET","correlationId":"","asOf":"2020-01-01T00:00:00.000000Z"}', partition=home
    )
    # Behind them in the same partition: when this one without an id is done, so are they.
    last = foreigner.send(b'{"action":"UPDATED"}', partition=home)

    rejected = watch.wait("message.rejected", partition=home, offset=last)
    assert watch.seen("message.rejected") == [rejected]
    assert not watch.seen("eviction.applied")
    assert {each.cache for each in world.lookups(customer)} == {"hit"}


@pytest.mark.parametrize(
    "value",
    [b"\xff\xfe\x00", b"", b"[]", b'{"action": "UPDATED"}', b'{"action": 7}', b'{"action": "UPDATED", "organizationId'],
    ids=["no text", "empty", "no object", "no id", "no action", "cut off"],
)
def test_bytes_that_can_not_be_read_evict_by_their_key(
    world: World, foreigner: Foreigner, customer: Customer, value: bytes
) -> None:
    contact = fresh("contact")
    foreigner.change_in_silence(customer, contact)
    watch = world.watch_workers()

    offset = foreigner.send(value, key=customer.id.encode())

    assert watch.wait("message.rejected", offset=offset)["level"] == "WARNING"
    assert {each.contact for each in world.lookups(customer)} == {contact}
    # And the worker goes on with what comes behind it.
    changed = world.change(customer, fresh("contact"))
    watch.eviction(customer.id, changed.headers["tmx-correlation-id"])
    assert all(process.is_running for process in world.platform.workers)
