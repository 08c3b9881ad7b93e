"""Every number of `/metrics`, beside the same thing counted in another way."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
import pytest
from redis import Redis

from devstack.process import start_in_parallel, stop_in_parallel
from devstack.waiting import wait_until
from event_stream.conf import Binding
from event_stream.messaging.binder import BrokerAdmin
from tests.e2e.world import DEADLINE_S, ORGANIZATION, Watch, World, fresh
from tests.event_stream.scraped import Scrape, scrape

BINDING = "outboundOrgChanges"
INBOUND = "inboundOrgChanges"
LAG = "event_stream_cache_eviction_lag_seconds"


@dataclass
class Growth:
    """What has been counted since, in all processes of a kind."""

    urls: list[str]
    before: list[Scrape] = field(init=False)

    def __post_init__(self) -> None:
        self.before = [scrape(url) for url in self.urls]

    def __call__(self, name: str, **labels: str) -> float:
        after = [scrape(url) for url in self.urls]
        return sum(scrape.total(name, **labels) for scrape in after) - sum(
            scrape.total(name, **labels) for scrape in self.before
        )

    def reaches(self, expected: float, name: str, **labels: str) -> bool:
        """Once it is counted, which is after the effect of what is counted."""
        return wait_until(lambda: self(name, **labels) >= expected, within_s=DEADLINE_S) and (
            self(name, **labels) == expected
        )


def rows(world: World, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(world.platform.organization_settings["DATABASE_URL"]) as connection:
        return connection.execute(statement, values).fetchall()


def test_lookups_changes_and_requests_are_counted_as_they_happen(world: World) -> None:
    platform, watch = world.platform, world.watch_workers()
    organization, licensing = Growth([platform.organization_url]), Growth(list(platform.licensing_urls))
    workers = Growth(list(platform.worker_urls))
    began_at: datetime = rows(world, "SELECT clock_timestamp()")[0][0]
    customer = world.customer()
    statuses = Counter(world.lookup(customer, number % 2).cache for number in range(6))
    for _ in range(3):
        correlation_id = fresh("counted")
        world.change(customer, fresh("Ann"), correlation_id=correlation_id)
        watch.eviction(customer.id, correlation_id)
        statuses[world.lookup(customer, 0).cache] += 1
    assert statuses.total() == 9
    assert statuses["hit"] >= 3

    # Lookups: each answer says what it was, in a header; that of the license's creation does not.
    lookups = "event_stream_cache_lookup_duration_seconds_count"
    counted = Counter({result: int(licensing(lookups, result=result)) for result in ("hit", "miss", "stale", "bypass")})
    assert licensing(lookups) == counted.total()
    assert counted >= statuses
    assert (counted - statuses).total() == 1
    asked = counted["miss"] + counted["bypass"]
    assert licensing("event_stream_origin_calls_total", outcome="answered") == asked
    assert licensing("event_stream_origin_calls_total") == asked
    assert licensing("event_stream_cache_fills_total") == counted["miss"]
    assert licensing("event_stream_cache_answer_age_seconds_count") == counted["hit"] + counted["stale"]

    # Requests: what this test has sent, and what licensing has asked.
    requests = "http_request_duration_seconds_count"
    route = "/v1/organization/<any_case_uuid:organization_id>"
    assert organization(requests, route=route, method="PATCH", status="200") == 3
    assert organization(requests, route="/v1/organization", method="POST", status="201") == 1
    assert organization(requests, route=route, method="GET", status="200") == asked
    one = "/v1/organization/<any_case_uuid:organization_id>/license/<any_case_uuid:license_id>"
    assert licensing(requests, route=one, method="GET", status="200") == 9

    # Changes: the table of the outbox has each, with the times of the same clock.
    statement = """
        SELECT extract(epoch FROM published_at - written_at) FROM event_stream_outbox
        WHERE written_at > %s AND binding = %s AND published_at IS NOT NULL
    """
    lags_s = [float(lag_s) for (lag_s,) in rows(world, statement, began_at, BINDING)]
    assert len(lags_s) == 4
    assert organization.reaches(4, "event_stream_outbox_publish_lag_seconds_count", binding=BINDING)
    counted_s = organization("event_stream_outbox_publish_lag_seconds_sum", binding=BINDING)
    assert counted_s == pytest.approx(sum(lags_s), abs=1e-5)

    # Evictions: the log has each batch, with the lag of its newest change. Here each batch has one.
    evictions = [line for line in watch.seen("eviction.applied") if line["ids"] == [customer.id]]
    assert len(evictions) == 4
    assert workers.reaches(4, f"{LAG}_count")
    lag_s = sum(max(0, line["lag_ms"]) for line in evictions) / 1000
    assert workers(f"{LAG}_sum") == pytest.approx(lag_s, abs=1e-6)


def test_what_is_computed_now_is_what_the_servers_hold(world: World) -> None:
    platform = world.platform
    customer = world.customer()
    world.published(customer.id)
    # Prometheus knows an address, and no name.
    found = scrape(platform.organization_url, Host="10.1.2.3:8081")
    assert found.value("event_stream_outbox_waiting_entries", binding=BINDING) == 0
    assert found.value("event_stream_outbox_oldest_waiting_age_seconds", binding=BINDING) == 0
    [(parked,)] = rows(
        world, "SELECT count(*) FROM event_stream_outbox WHERE parked_at IS NOT NULL AND published_at IS NULL"
    )
    assert found.value("event_stream_outbox_parked_entries", binding=BINDING) == parked
    assert found.value("event_stream_relay_leader") == 1
    if not world.capabilities.seekable:
        assert scrape(platform.licensing_urls[0]).values("event_stream_cache_watermarks_missing") == []
        return
    for url in (*platform.licensing_urls, *platform.worker_urls):
        before, found, after = watermarks(world), scrape(url), watermarks(world)
        assert found.value("event_stream_cache_watermarks_missing") == 0
        assert found.value("event_stream_cache_max_staleness_seconds") == 120
        for partition, (offset, _) in before.items():
            told = found.value("event_stream_cache_watermark_offset", partition=partition)
            assert offset <= told <= after[partition][0]
            # How far it is behind is a matter of clocks; a heartbeat comes once a second.
            assert 0 <= found.value("event_stream_cache_watermark_age_seconds", partition=partition) < 60


def watermarks(world: World) -> dict[str, tuple[int, int]]:
    """By partition: the offset, and up to when all is applied, as they lie in Redis."""
    with Redis.from_url(world.platform.licensing_settings["REDIS_URL"]) as redis:
        raw = {key.decode(): redis.get(key) for key in redis.scan_iter("{o*}:wm")}
    found = {}
    for key, value in raw.items():
        assert isinstance(value, bytes)
        _, offset, as_of_ms = value.split(b"|")
        found[key.partition("}")[0].removeprefix("{o")] = (int(offset), int(as_of_ms))
    return found


def test_the_workers_share_the_partitions_and_each_tells_of_its_own(world: World) -> None:
    owned = [scrape(url).value("event_stream_worker_partitions", binding=INBOUND) for url in world.platform.worker_urls]
    ready = Watch(world.platform.workers, from_start=True).seen("worker.ready")
    assert sum(owned) == len({partition for line in ready for partition in line["partitions"]}) == 6
    for url in world.platform.worker_urls:
        assert scrape(url).value("event_stream_worker_failing_partitions", binding=INBOUND) == 0


def waiting(world: World) -> int | None:
    """Return what the platform itself says of the group."""
    binder = world.binder()
    assert isinstance(binder, BrokerAdmin)
    group = binder.describe(Binding(INBOUND, world.platform.topic, "own", group="licensingGroup")).group
    return None if group is None else group.waiting


def test_the_lag_is_told_while_no_worker_is_there_to_tell_it(world: World) -> None:
    url, name = world.platform.licensing_urls[0], "event_stream_consumer_lag_records"
    changes = 5
    with closing(world.platform.servers.broker.tail(world.platform.topic)) as tail:
        stop_in_parallel(world.platform.workers)
        try:
            for _ in range(changes):
                created = world.organization("POST", "/v1/organization", json=ORGANIZATION, status=201)
                world.published(created.json()["id"])
            if waiting(world) is None:
                pytest.skip("the platform does not know how many wait, as Redis may in the middle of a log")
            assert wait_until(lambda: scrape(url).total(name, binding=INBOUND) >= changes, within_s=DEADLINE_S)
            lag = scrape(url).value(name, binding=INBOUND)
            sent = 0
            while records := tail.poll(0.5):
                sent += len(records)
                if sent >= lag:
                    break
        finally:
            start_in_parallel(world.platform.workers)
    # Where there are heartbeats, they wait, too.
    assert changes <= lag <= sent
    assert world.capabilities.seekable or lag == changes
