"""An event that Kafka refuses for good: the copy is evicted all the same, nobody is held up, a person hears of it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from redis import Redis

from devstack.django_commands import ORGANIZATION
from devstack.waiting import wait_until
from event_stream.user_context import CORRELATION_ID, ORGANIZATION_ID, USER_ID
from tests.e2e.each_binder.test_doctor import doctor
from tests.e2e.world import DEADLINE_S, World, fresh

LARGEST = 850
"""In bytes, with all that Kafka adds: an event with the two headers below is larger, and one without is not."""


@contextmanager
def largest_message(world: World, limit: int) -> Iterator[None]:
    """The topic takes nothing larger for a while."""
    client = KafkaAdminClient(bootstrap_servers=world.platform.servers.kafka_bootstrap_servers.split(","))
    topic = ConfigResource(ConfigResourceType.TOPIC, world.platform.topic, {"max.message.bytes": str(limit)})
    try:
        client.alter_configs([topic])
        yield
        client.reset_configs([topic])
    finally:
        client.close()


@dataclass(frozen=True, slots=True)
class Parked:
    error: str
    parked_at_ms: int


def parked(world: World, correlation_id: str) -> Parked | None:
    """The row of this transaction, once it is."""
    statement = """
        SELECT error, (extract(epoch FROM parked_at) * 1000)::bigint FROM event_stream_outbox
        WHERE correlation_id = %s AND parked_at IS NOT NULL AND published_at IS NULL
    """
    with psycopg.connect(world.platform.organization_settings["DATABASE_URL"]) as connection:
        row = connection.execute(statement, [correlation_id]).fetchone()
    return None if row is None else Parked(*row)


def heartbeats_ms(world: World) -> list[int]:
    """The instant up to which each partition is fresh."""
    with Redis.from_url(world.platform.licensing_settings["REDIS_URL"]) as redis:
        marks = [redis.get(key) for key in redis.scan_iter("*:wm")]
    return [int(mark.rpartition(b"|")[2]) for mark in marks if isinstance(mark, bytes)]


def test_the_copy_goes_the_others_go_on_and_the_row_is_reported(world: World) -> None:
    if world.platform.servers.binder != "kafka":
        pytest.skip("only Kafka is told here how large a message may be")
    refused, other = world.customer(), world.customer()
    for customer in (refused, other):
        world.cached(customer)
    correlation_id, contact = fresh("parked"), fresh("contact")
    watch = world.watch_workers()
    with largest_message(world, LARGEST):
        world.organization(
            "PATCH",
            refused.path,
            json={"contactName": contact},
            headers={CORRELATION_ID: correlation_id, USER_ID: "u" * 128, ORGANIZATION_ID: "o" * 128},
            status=200,
        )
        changed = world.change(other, contact)

        watch.eviction(refused.id, correlation_id)
        watch.eviction(other.id, changed.headers[CORRELATION_ID])
        for customer in (refused, other):
            assert {each.contact for each in world.lookups(customer)} == {contact}
        assert wait_until(lambda: parked(world, correlation_id) is not None, within_s=DEADLINE_S)
        row = parked(world, correlation_id)
        assert row is not None
        assert "too large" in row.error.lower() or "MessageSizeTooLarge" in row.error
        assert not world.event(refused.id).published
        # What was sent in its place lies where the row says, and is what any reader of old understands.
        record = world.record(world.event(refused.id))
        assert json.loads(record.value or b"") == {
            "type": "organization.OrganizationChangeModel",
            "action": "UPDATED",
            "organizationId": refused.id,
            "correlationId": correlation_id,
        }
        assert wait_until(
            lambda: len(heartbeats_ms(world)) == 6 and min(heartbeats_ms(world)) > row.parked_at_ms, within_s=DEADLINE_S
        ), "heartbeats stand still"
        said = doctor(ORGANIZATION, world.platform.organization_settings).stdout
        assert "warning  parked messages: 1 can't be sent" in said

    # A person has fixed the cause.
    world.organization_sql("UPDATE event_stream_outbox SET parked_at = NULL WHERE correlation_id = %s", correlation_id)
    assert world.published(refused.id).correlation_id == correlation_id
