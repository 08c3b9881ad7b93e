"""What is Redis' own about the Redis Streams binder: offsets, trimming, groups, promises, settings."""

import time
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from devstack.ports import free_port
from devstack.valkey import Valkey, event_valkey
from event_stream.binders.redis.binder import RedisBinder
from event_stream.binders.redis.connection import Keys
from event_stream.conf import Binding, ConsumerSettings, ProducerSettings
from event_stream.errors import ConfigurationError, PublishError, UnavailableError, UnsendableError
from event_stream.messaging.message import ProducerRecord
from event_stream.testing.reader import Reader
from event_stream.testing.waiting import wait_until
from tests.event_stream.redis_streams import making, new_binding, send

BRIEF = ConsumerSettings(properties={"session_timeout_ms": 600, "heartbeat_interval_ms": 50})


@pytest.fixture
def client(event_redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(event_redis_url, decode_responses=True) as client:
        yield client


@pytest.fixture
def binder(event_redis_url: str) -> RedisBinder:
    return making(event_redis_url, 2)


@pytest.fixture
def binding() -> Binding:
    return new_binding(BRIEF)


def keys(binding: Binding) -> Keys:
    return Keys("event_stream", binding.destination)


def reader(binder: RedisBinder, binding: Binding) -> "closing[Reader]":
    return closing(Reader(binder, binding))


def values(binder: RedisBinder, binding: Binding) -> list[bytes | None]:
    return [record.value for record in binder.read(binding)]


# Offsets and time.


def test_an_offset_is_the_time_of_redis_and_none_comes_twice(binder: RedisBinder, binding: Binding) -> None:
    before = time.time_ns() // 1000
    offsets = [receipt.offset for receipt in send(binder, binding, *map(str, range(2000)), partition=0)]
    after = time.time_ns() // 1000
    assert offsets == sorted(set(offsets))
    assert before <= offsets[0]
    assert offsets[-1] <= after + 2000
    assert [record.timestamp_ms for record in binder.read(binding)] == [offset // 1000 for offset in offsets]


def test_offsets_go_on_past_a_record_from_the_future(binder: RedisBinder, binding: Binding, client: Any) -> None:
    # As after the clock of the server was set back.
    [first] = send(binder, binding, "a", partition=0)
    future = first.offset + 3_600_000_000
    client.xadd(keys(binding).log(0), {"key": "b", "value": "b"}, id=f"{future}-0")
    assert [receipt.offset for receipt in send(binder, binding, "c", "d", partition=0)] == [future + 1, future + 2]


def test_a_log_made_anew_shares_no_offset_with_the_old_one(
    event_redis_url: str, binder: RedisBinder, binding: Binding, client: Any
) -> None:
    old = send(binder, binding, *map(str, range(50)), partition=0)
    with reader(binder, binding) as member:
        member.read(50)
        client.delete(*client.keys(f"{keys(binding).topic}*"))
        with pytest.raises(UnavailableError, match="it has to be made"):
            list(RedisBinder("redis", {"url": event_redis_url}).read(binding))
        [new] = send(binder, binding, "new", partition=0)
        assert new.offset > old[-1].offset
        member.read_until(lambda it: ("lost", (0, 1)) in it.events, "it has lost the old ones")
        member.read(51)
        assert member.consumer.bounds([0])[0].start > old[-1].offset
        assert member.records[-1].value == b"new"


# Trimming.


def test_what_is_old_goes_once_every_group_has_read_it(event_redis_url: str, binding: Binding, client: Any) -> None:
    binder = making(event_redis_url, 1, retention_ms=1)
    with reader(binder, binding) as member:
        receipts = send(binder, binding, "a", "b", "c")
        member.read(3)
        member.consumer.commit({0: receipts[1].offset + 1})
        member.read_until(lambda it: it.consumer.committed(0) == receipts[1].offset + 1, "committed")
        client.hset(keys(binding).topic, "trim_at:0", 0)
        send(binder, binding, "d")
        assert values(binder, binding) == [b"c", b"d"]
        # One after the last that went: a group that stands there has lost nothing.
        assert member.consumer.bounds([0])[0].start == receipts[1].offset + 1


def test_a_group_that_has_read_nothing_holds_everything(event_redis_url: str, binding: Binding, client: Any) -> None:
    binder = making(event_redis_url, 1, retention_ms=1)
    with reader(binder, binding) as member:
        member.read_until(lambda it: it.joined, "the group is known")
    send(binder, binding, "a")
    client.hset(keys(binding).topic, "trim_at:0", 0)
    send(binder, binding, "b")
    assert values(binder, binding) == [b"a", b"b"]
    # Nobody has been in it for longer than the retention of groups.
    client.hset(keys(binding).topic, f"seen:{binding.group}", 0)
    client.hset(keys(binding).topic, "trim_at:0", 0)
    send(binder, binding, "c")
    assert values(binder, binding)[-1:] == [b"c"]
    assert b"a" not in values(binder, binding)


def test_age_alone_decides_where_that_was_asked_for(event_redis_url: str, binding: Binding, client: Any) -> None:
    binder = making(event_redis_url, 1, retention_ms=1, keep_unread=False)
    with reader(binder, binding) as member:
        member.read_until(lambda it: it.joined, "the group is known")
    send(binder, binding, "a")
    client.hset(keys(binding).topic, "trim_at:0", 0)
    wait_until(lambda: send(binder, binding, "b") != [] and b"a" not in values(binder, binding), "it is gone")


# Groups.


def test_a_members_partitions_go_to_another_when_its_session_is_over(binder: RedisBinder, binding: Binding) -> None:
    stuck = replace(BRIEF, properties={**BRIEF.properties, "max_poll_interval_ms": 700})
    first, second = Reader(binder, replace(binding, consumer=stuck)), Reader(binder, binding)
    with closing(first), closing(second):
        sent = send(binder, binding, "a", partition=0)
        first.read(1)
        # It polls no more, and its heartbeats end: what it has not committed comes again.
        second.read_until(lambda it: it.owned == {0, 1}, "the other one has all")
        assert [record.value for record in second.read(1)] == [b"a"]
        second.consumer.commit({0: sent[0].offset + 1})
        # A zombie: what it says now counts no more, and it is told so.
        first.consumer.commit({0: sent[0].offset})
        first.read_until(lambda it: ("lost", (0, 1)) in it.events, "the first has lost them")
        second.read_until(lambda it: it.consumer.committed(0) == sent[0].offset + 1, "committed")


def test_a_member_that_is_busy_for_longer_than_its_session_keeps_its_partitions(
    binder: RedisBinder, binding: Binding
) -> None:
    first, second = Reader(binder, binding), Reader(binder, binding)
    with closing(first), closing(second):
        first.read_until(lambda it: it.owned == {0, 1}, "it has all")
        deadline = time.monotonic() + 3 * 0.6
        second.read_until(lambda _: time.monotonic() > deadline, "three sessions have passed")
        assert second.owned == set()
        first.turn()
        assert "lost" not in {event for event, _ in first.events}


def test_operators_see_groups_and_members_with_redis_own_commands(
    binder: RedisBinder, binding: Binding, client: Any
) -> None:
    sent = send(binder, binding, "a", "b", partition=0)
    with reader(binder, binding) as member:
        member.read(2)
        member.commit()
        member.read_until(lambda it: it.consumer.committed(0) == sent[1].offset + 1, "committed")
        [group] = client.xinfo_groups(keys(binding).log(0))
        assert (group["name"], group["last-delivered-id"], group["lag"]) == (binding.group, f"{sent[1].offset}-0", 0)
        [consumer] = client.xinfo_consumers(keys(binding).shares(binding.group or ""), binding.group)
        assert consumer["pending"] == 2
    assert client.xinfo_consumers(keys(binding).shares(binding.group or ""), binding.group) == []


def test_a_destination_is_in_one_slot_of_a_cluster(binding: Binding) -> None:
    of = keys(binding)
    slots = {key_slot(key.encode()) for key in (of.topic, *of.logs(6), of.shares("readers"))}
    assert len(slots) == 1


# What is not there, and what is refused.


def test_a_destination_is_not_made_by_being_mentioned(event_redis_url: str, binding: Binding) -> None:
    strict = RedisBinder("redis", {"url": event_redis_url})
    producer = strict.producer(binding)
    with pytest.raises(UnavailableError, match="it has to be made"):
        producer.partition_count(binding.destination)
    refused = producer.send(ProducerRecord(binding.destination, b"k", b"v"))
    with pytest.raises(PublishError, match="it has to be made"):
        refused.result(20)
    with closing(Reader(strict, binding)) as member, pytest.raises(UnavailableError, match="it has to be made"):
        member.consumer.poll(0.1, 10)
    # By somebody who may: it goes on.
    assert making(event_redis_url, 2).producer(binding).partition_count(binding.destination) == 2
    assert producer.send(ProducerRecord(binding.destination, b"k", b"v")).result(20).offset > 0
    producer.close(5)


def test_a_producer_notices_that_the_destination_has_other_partitions(
    event_redis_url: str, binder: RedisBinder, binding: Binding, client: Any
) -> None:
    producer = binder.producer(binding)
    producer.send(ProducerRecord(binding.destination, b"k", b"v")).result(20)
    client.delete(*client.keys(f"{keys(binding).topic}*"))
    making(event_redis_url, 5).producer(binding).partition_count(binding.destination)
    # It placed the key among two.
    with pytest.raises(PublishError, match="the destination has changed"):
        producer.send(ProducerRecord(binding.destination, b"k", b"v")).result(20)
    producer.send(ProducerRecord(binding.destination, b"k", b"v", partition=4)).result(20)
    producer.close(5)


def test_what_can_never_be_taken_is_unsendable(binder: RedisBinder, binding: Binding) -> None:
    small = replace(binding, producer=ProducerSettings(properties={"max_message_bytes": 10}))
    producer = binder.producer(small)
    with pytest.raises(UnsendableError, match="takes no message of 12 bytes: 10 at most"):
        producer.send(ProducerRecord(binding.destination, b"k", b"x" * 11)).result(20)
    with pytest.raises(UnsendableError, match="has no partition 2"):
        producer.send(ProducerRecord(binding.destination, b"k", b"x", partition=2)).result(20)
    producer.close(5)


def test_without_a_server_nothing_hangs(binding: Binding) -> None:
    away = RedisBinder("redis", {"url": f"redis://127.0.0.1:{free_port()}/0"})
    producer = away.producer(binding)
    futures = [producer.send(ProducerRecord(binding.destination, b"k", b"v")) for _ in range(100)]
    for future in futures:
        with pytest.raises(PublishError, match="refused"):
            future.result(20)
    with pytest.raises(UnavailableError):
        producer.partition_count(binding.destination)
    producer.close(5)
    with closing(Reader(away, binding)) as member, pytest.raises(UnavailableError):
        member.consumer.poll(0.1, 10)
    with pytest.raises(UnavailableError):
        list(away.read(binding))


# What an acknowledgement means.


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with event_valkey(tmp_path_factory.mktemp("durable") / "events") as valkey:
        yield valkey


def asking_for(binding: Binding, **properties: object) -> Binding:
    return replace(binding, producer=ProducerSettings(properties=properties))


def test_an_acknowledgement_waits_for_the_disk_where_asked_to(
    durable: Valkey, binder: RedisBinder, binding: Binding
) -> None:
    assert send(making(durable.url(), 2), asking_for(binding, fsync=True), "a", "b")
    # The tests' other server keeps no file.
    with pytest.raises(PublishError, match="appendonly"):
        send(binder, asking_for(binding, fsync=True), "a")


def test_an_acknowledgement_waits_for_replicas_where_asked_to(durable: Valkey, binding: Binding) -> None:
    wanting = asking_for(binding, replicas=1, replicas_timeout_ms=50)
    with pytest.raises(PublishError, match="only 0 of 1 replicas"):
        send(making(durable.url(), 2), wanting, "a")


def test_what_was_acknowledged_outlives_the_death_of_the_server(durable: Valkey, binding: Binding) -> None:
    binder = making(durable.url(), 2)
    producer = binder.producer(binding)
    with reader(binder, binding) as member:
        acknowledged: list[bytes] = []
        for number in range(20):
            value = f"{uuid.uuid4()}".encode()
            if number == 10:
                durable.kill()
                durable.spawn()

            def sent(value: bytes = value) -> bool:
                try:
                    return producer.send(ProducerRecord(binding.destination, value, value)).result(20).offset > 0
                except PublishError:
                    return False

            wait_until(sent, "it is taken, once the server is back", 60)
            acknowledged.append(value)
            member.turn()
        member.read_until(lambda it: {record.value for record in it.records} >= set(acknowledged), "nothing is lost")
    producer.close(5)


# Settings.


@pytest.mark.parametrize(
    ("properties", "said"),
    [
        ({}, "['url'] is missing"),
        ({"url": "kafka://somewhere"}, "['url'] is missing or no Redis URL"),
        ({"url": "redis://x", "prefix": "a{b}"}, "['prefix'] is 'a{b}'; it should be a text without braces"),
        ({"url": "redis://x", "partitions": 0}, "['partitions'] is 0; it should be a whole number from 1"),
        ({"url": "redis://x", "keep_unread": 1}, "['keep_unread'] is 1; it should be True or False"),
        ({"url": "redis://x", "host": "y"}, "['host'] is not known to the Redis binder"),
    ],
)
def test_wrong_settings_are_named(properties: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RedisBinder("redis", properties)
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(
    ("side", "properties", "said"),
    [
        ("consumer", {"session_timeout_ms": 400}, "['consumer']['properties']['heartbeat_interval_ms'] is 500; it sho"),
        ("consumer", {"max_poll_interval_ms": 9}, "['consumer']['properties']['session_timeout_ms'] is 10000; it shou"),
        ("consumer", {"group_id": "x"}, "['consumer']['properties']['group_id'] is not known to the Redis binder"),
        ("producer", {"replicas": -1}, "['producer']['properties']['replicas'] is -1; it should be a whole number fro"),
        ("producer", {"fsync": "yes"}, "['producer']['properties']['fsync'] is 'yes'; it should be True or False"),
    ],
)
def test_wrong_properties_of_a_binding_are_named(side: str, properties: dict[str, object], said: str) -> None:
    binder, binding = RedisBinder("redis", {"url": "redis://127.0.0.1:1"}), new_binding()
    consumer, producer = ConsumerSettings(properties=properties), ProducerSettings(properties=properties)
    wrong = replace(binding, consumer=consumer) if side == "consumer" else replace(binding, producer=producer)
    with pytest.raises(ConfigurationError) as refused:
        binder.check(wrong)
    assert str(refused.value).startswith(said)


def test_a_destination_without_a_proper_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="it should be a topic name: up to 249 letters"):
        RedisBinder("redis", {"url": "redis://x"}).check(replace(new_binding(), destination="{a}"))
