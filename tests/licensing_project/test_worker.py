"""`manage.py consume_org_changes` on the binder in memory; its life as a process is shown in tests/e2e."""

import json
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devstack.waiting import wait_until
from event_stream import ProducerRecord
from event_stream.binders.memory import MemoryBinder
from event_stream.fenced_cache import CacheStatus, FreshnessRequirement, Heartbeat, State
from event_stream.messaging.channel import registry
from organization_lookup import lookup
from tests.licensing_project.organization_service import NASA, OrganizationService

# The worker renews its database connections, so they must not be in a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)
TOPIC = "orgChangeTopic"
RECORDED = json.loads((Path(__file__).parent / "data" / "spring_cloud_stream_messages.json").read_text())["messages"]


@pytest.fixture
def platform(settings: Any, organization_service: OrganizationService) -> Iterator[MemoryBinder]:
    """Kafka's place, empty. What the command does to the signals of the process is undone."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    settings.EVENT_STREAM = {**settings.EVENT_STREAM, "binders": {"kafka": {"type": "memory"}}}
    binder = registry().binder("kafka")
    assert isinstance(binder, MemoryBinder)
    yield binder
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    registry().close()


def send(platform: MemoryBinder, key: str | None, headers: Any = (), **fields: Any) -> None:
    value = json.dumps(fields).encode()
    platform.append(ProducerRecord(TOPIC, None if key is None else key.encode(), value, tuple(headers)))


def beat(platform: MemoryBinder, partition: int, as_of_ms: int) -> None:
    """A heartbeat, as the relay sends it."""
    as_of = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(as_of_ms // 1000))}.{as_of_ms % 1000:03d}000Z"
    value = json.dumps({"action": "GET", "correlationId": "", "asOf": as_of}).encode()
    platform.append(ProducerRecord(TOPIC, None, value, partition=partition))


def consume() -> None:
    call_command("consume_org_changes", "--until-caught-up")


def source() -> CacheStatus:
    return lookup.current().find(NASA, FreshnessRequirement()).source


@pytest.fixture
def cached(platform: MemoryBinder) -> None:
    """NASA is cached, and the worker has been at work before."""
    consume()
    assert source() is CacheStatus.MISS
    assert source() is CacheStatus.HIT


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("key", [NASA, None, "another"])
def test_a_change_evicts_and_the_next_lookup_is_current(
    platform: MemoryBinder, organization_service: OrganizationService, key: str | None
) -> None:
    version = organization_service.put(NASA, name="New")
    send(platform, key, action="UPDATED", organizationId=NASA, correlationId="c", version=version)
    assert source() is CacheStatus.HIT
    consume()
    found = lookup.current().find(NASA, FreshnessRequirement())
    assert (found.source, found.version) == (CacheStatus.MISS, version)
    assert b'"New"' in (found.value or b"")


@pytest.mark.usefixtures("cached")
@pytest.mark.parametrize("number", range(len(RECORDED)))
def test_what_a_spring_cloud_stream_service_sends_evicts_by_four_keys_alone(
    platform: MemoryBinder, number: int
) -> None:
    message = RECORDED[number]
    value = json.loads(message["value"]) | {"organizationId": NASA}
    headers = tuple((name, text.encode()) for name, text in message["headers"])
    send(platform, message["key"], headers, **value)
    consume()
    assert source() is (CacheStatus.HIT if value["action"] == "GET" else CacheStatus.MISS)


@pytest.mark.usefixtures("cached")
def test_what_can_not_be_read_evicts_by_its_key_and_holds_nothing_up(
    platform: MemoryBinder, organization_service: OrganizationService
) -> None:
    platform.append(ProducerRecord(TOPIC, NASA.encode(), b"\xff no message"))
    consume()
    assert source() is CacheStatus.MISS
    send(platform, NASA, action="UPDATED", organizationId=NASA, correlationId="c")
    consume()
    assert source() is CacheStatus.MISS


@pytest.mark.usefixtures("cached")
def test_too_many_in_a_row_that_can_not_be_read_end_it_with_what_to_do(platform: MemoryBinder, settings: Any) -> None:
    limit = settings.CONSUMER_LIMITS.dead_letter_limit
    for _ in range(limit + 1):
        platform.append(ProducerRecord(TOPIC, NASA.encode(), b"{"))
    with pytest.raises(CommandError, match=rf"{limit} messages in a row .*\['dead_letter_limit'\]"):
        consume()
    assert len(platform.sent(f"{TOPIC}.licensingGroup.dlq")) == limit
    # Whoever starts it again means to go on.
    consume()
    assert len(platform.sent(f"{TOPIC}.licensingGroup.dlq")) == limit + 1


@pytest.mark.usefixtures("cached")
def test_a_heartbeat_vouches_for_what_is_cached(platform: MemoryBinder, tuned: Any) -> None:
    tuned(max_staleness_s=0.2)
    assert wait_until(lambda: lookup.current().cache.read(NASA).state is not State.HIT, within_s=10)
    lookup.current().find(NASA, FreshnessRequirement())
    home = lookup.current().cache.keys.partition_of(NASA)
    before = lookup.current().cache.watermark(home)
    now_ms = time.time_ns() // 1_000_000
    beat(platform, home, now_ms)
    consume()
    after = lookup.current().cache.watermark(home)
    assert before is not None
    assert after is not None
    assert (after.as_of_ms, after.offset) == (Heartbeat(now_ms).as_of_ms, before.offset + 1)
    assert lookup.current().cache.read(NASA).fresh_at_ms == now_ms


@pytest.mark.usefixtures("cached")
def test_a_database_whose_clock_is_ahead_stops_no_worker(
    platform: MemoryBinder, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """On a quiet system heartbeats are all that comes, and more of them than unreadable messages may come in a row."""
    home = lookup.current().cache.keys.partition_of(NASA)
    before = lookup.current().cache.watermark(home)
    hour_ahead_ms = time.time_ns() // 1_000_000 + 3_600_000
    count = settings.CONSUMER_LIMITS.dead_letter_limit + 20
    for number in range(count):
        beat(platform, home, hour_ahead_ms + number)
    consume()
    after = lookup.current().cache.watermark(home)
    assert before is not None
    assert after is not None
    assert (after.as_of_ms, after.offset) == (before.as_of_ms, before.offset + count)
    assert platform.sent(f"{TOPIC}.licensingGroup.dlq") == []
    assert [record.message for record in caplog.records].count("heartbeat.from_the_future") == 1


@pytest.mark.usefixtures("cached", "platform")
def test_the_cache_is_explained_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("cache_inspect", NASA.upper())
    text = capsys.readouterr().out
    assert f"{NASA} belongs to partition" in text
    assert "a hit" in text
    call_command("cache_inspect", str(uuid.uuid4()))
    assert "no entry" in capsys.readouterr().out
    with pytest.raises(CommandError, match="should be an organization's UUID"):
        call_command("cache_inspect", "nasa")


def test_another_number_of_partitions_stops_the_start(platform: MemoryBinder, settings: Any) -> None:
    settings.ORG_CHANGE_PARTITIONS = 5
    with pytest.raises(CommandError, match="ORG_CHANGE_PARTITIONS is 5, but the topic orgChangeTopic has 6"):
        consume()


@pytest.mark.usefixtures("platform")
def test_only_one_way_to_end_can_be_asked_for() -> None:
    with pytest.raises(CommandError, match="not allowed with"):
        call_command("consume_org_changes", "--once", "--until-caught-up")
