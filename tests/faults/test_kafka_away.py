"""Kafka is away for longer than any of the producer's timeouts, while organizations are changed."""

import os
import random

import psutil
import psycopg
import pytest

from devstack.waiting import wait_until
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults import evidence
from tests.faults.campaign import ROUNDS, Fault, hold, run
from tests.faults.oracle import Evidence, judge
from tests.faults.site import BOUND_S, SETTLE_S, Site

pytestmark = [lets_sockets_leak, pytest.mark.timeout(600)]
OUTAGE_S = float(os.environ.get("FAULT_OUTAGE_S", "15"))
"""Longer than the producer's delivery_timeout_ms, which is 10 s."""
BACKLOG = 20_000
_A_BATCH_AND_SOME_MB = 40
"""The backlog itself would be many times as much."""


def broker_stopped(site: Site, chance: random.Random) -> None:
    [broker] = site.brokers
    broker.stop() if chance.random() < 0.5 else broker.kill()
    hold(OUTAGE_S)
    broker.start()


def broker_frozen(site: Site, chance: random.Random) -> None:
    [broker] = site.brokers
    broker.pause()
    hold(OUTAGE_S)
    broker.resume()


FAULTS = [Fault("broker stopped", broker_stopped), Fault("broker frozen", broker_frozen)]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_no_request_waits_for_it_and_nothing_is_lost(site: Site, fault: Fault) -> None:
    run(site, fault, rounds=max(1, ROUNDS // 10)).assert_right()


def test_a_backlog_needs_no_memory_and_is_sent_in_order(site: Site) -> None:
    [broker] = site.brokers
    broker.stop()
    before_mb = [memory_mb(relay.pid) for relay in site.relays]
    ids = change_many(site.database_url, BACKLOG)
    seen_mb = [memory_mb(relay.pid) for relay in site.relays]
    broker.start()

    def drained() -> bool:
        seen_mb.extend(memory_mb(relay.pid) for relay in site.relays)
        return evidence.is_drained(site.database_url)

    assert wait_until(drained, within_s=SETTLE_S, every_s=0.1)
    assert max(seen_mb) < max(before_mb) + _A_BATCH_AND_SOME_MB
    verdict = judge(
        Evidence(
            commits=evidence.commits(site.database_url, ids),
            log=evidence.log(site.bootstrap_servers, site.platform.topic, ids),
            marks=evidence.marks(site.database_url, ids),
            writes=[],
            reads=[],
            finals=[],
            max_staleness_s=BOUND_S,
        )
    )
    assert verdict.changes == BACKLOG
    assert verdict.wrong[:10] == []


def change_many(database_url: str, count: int) -> set[str]:
    """In one statement, past the services: a quarter of them are new, and are changed three times."""
    columns = "contact_name, contact_email, contact_phone"
    with psycopg.connect(database_url, autocommit=True) as connection:
        rows = connection.execute(
            f"INSERT INTO organizations_organization (id, name, {columns}) "
            "SELECT gen_random_uuid(), 'Backlog', '', '', '' FROM generate_series(1, %s) RETURNING id::text",
            [count // 4],
        ).fetchall()
        for number in range(3):
            connection.execute(
                "UPDATE organizations_organization SET contact_name = %s WHERE name = 'Backlog'", [str(number)]
            )
    return {row[0] for row in rows}


def memory_mb(pid: int) -> float:
    return float(psutil.Process(pid).memory_info().rss / 1_000_000)
