"""Requests under load while what they do not need is away, or is restarted: each of them is answered.

What requests need and what is away, is in the other modules: there, those that are refused say so.
"""

import os
import random
import signal

import psutil
import pytest
import redis

from devstack.process import SupervisedProcess, start_in_parallel, stop_in_parallel
from devstack.waiting import wait_until
from tests.consistency.load import Unanswered
from tests.e2e.world import DEADLINE_S, Watch
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import CUSTOMERS, ROUNDS, Fault, hold, run
from tests.faults.site import Site

pytestmark = lets_sockets_leak
_ENOUGH_FOR_NOTHING = 1_000_000


def redis_full(site: Site, chance: random.Random) -> None:
    with redis.Redis.from_url(site.valkey.url()) as client:
        client.config_set("maxmemory", _ENOUGH_FOR_NOTHING)
        hold(chance.uniform(1, 3))
        client.config_set("maxmemory", 0)


def redis_frozen(site: Site, chance: random.Random) -> None:
    """It takes connections, and does not answer."""
    site.valkey.pause()
    hold(chance.uniform(1, 3))
    site.valkey.resume()


def reloaded(site: Site, chance: random.Random) -> None:
    """SIGHUP: gunicorn reads its configuration again and replaces its workers."""
    reload_web(chance.choice([site.platform.organization, *site.platform.licensing]))


def reload_web(process: SupervisedProcess) -> None:
    before = children(process)
    os.kill(process.pid, signal.SIGHUP)
    assert wait_until(lambda: not before & children(process), within_s=DEADLINE_S), "the workers are not replaced"


def children(process: SupervisedProcess) -> set[int]:
    return {child.pid for child in psutil.Process(process.pid).children()}


def waited_too_long(request: Unanswered) -> bool:
    """gunicorn ends the old worker before the new one has loaded: licensing may not wait for its owner for so long."""
    return request.method == "GET" and request.says_so


def test_a_reload_costs_no_request(site: Site) -> None:
    fault = Fault("web process reloaded", reloaded, excuse=waited_too_long)
    run(site, fault, rounds=max(1, ROUNDS // 2)).assert_right()


@pytest.mark.parametrize(
    ("fault", "event"),
    [
        (Fault("redis full", redis_full), "cache.refuses_writes"),
        (Fault("redis frozen", redis_frozen), "cache.unreachable"),
    ],
    ids=str,
)
def test_an_outage_of_redis_costs_no_request_and_is_one_line(site: Site, fault: Fault, event: str) -> None:
    watches = [Watch([process]) for process in site.platform.licensing]
    outcome = run(site, fault, rounds=max(1, ROUNDS // 2))
    outcome.assert_right()
    for watch in watches:
        assert 1 <= len(watch.seen(event)) <= outcome.struck


def test_kafka_may_be_down_when_web_processes_start(site: Site) -> None:
    """With the relay inside the organization service, as it is unless a setting says otherwise."""
    [broker], organization = site.brokers, site.platform.organization
    webs, customers, before = [organization, *site.platform.licensing], site.customers(CUSTOMERS), organization.env
    stop_in_parallel([*webs, *site.relays])
    broker.stop()
    organization.env = {**(before or {}), "OUTBOX_EMBEDDED": "true"}
    try:
        start_in_parallel(webs)
        came = Fault("kafka down when web processes start", lambda _site, _chance: start_in_parallel([broker]))
        run(site, came, rounds=1, customers=customers).assert_right()
    finally:
        organization.stop()
        organization.env = before
        start_in_parallel([organization, *site.relays])
