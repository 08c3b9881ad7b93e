"""Redis and PostgreSQL lose what they may lose, and go away; the database's clock jumps, and its schema changes."""

import random

import httpx
import psycopg
import pytest
import redis

from devstack.waiting import wait_until
from tests.consistency.load import Unanswered
from tests.e2e.world import DEADLINE_S
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults import shifted_clock
from tests.faults.campaign import ROUNDS, Fault, hold, run, says_so
from tests.faults.site import TABLE, Site

pytestmark = lets_sockets_leak
_HOUR_S = 3600
_WRITES = "-c default_transaction_read_only=off"


def writes_say_so(request: Unanswered) -> bool:
    return request.method == "PATCH" and request.says_so


def redis_flushed(site: Site, chance: random.Random) -> None:
    with redis.Redis.from_url(site.valkey.url()) as client:
        client.flushall()
    hold(chance.uniform(0, 0.5))


def redis_killed(site: Site, chance: random.Random) -> None:
    site.valkey.kill()
    hold(chance.uniform(0, 2))
    site.valkey.start()


def redis_failed_over(site: Site, chance: random.Random) -> None:
    """To a replica that has heard nothing for a while: what it took for true may have been evicted meanwhile."""
    with redis.Redis.from_url(site.replica.url(), decode_responses=True) as client:
        assert wait_until(lambda: client.info("replication")["master_link_status"] == "up", within_s=DEADLINE_S)
        client.replicaof("no", "one")
    hold(chance.uniform(0.2, 2))
    site.fail_over()


def redis_demoted(site: Site, chance: random.Random) -> None:
    site.demote()
    hold(chance.uniform(0, 2))
    site.naive.restart()


def postgresql_restarted(site: Site, chance: random.Random) -> None:
    site.postgres.stop()
    hold(chance.uniform(0, 1))
    site.postgres.start()


def postgresql_killed(site: Site, chance: random.Random) -> None:
    site.postgres.kill()
    hold(chance.uniform(0, 1))
    site.postgres.start()


def postgresql_read_only(site: Site, chance: random.Random) -> None:
    """As a managed server is once its disk is full."""
    for value in ("on", "off"):
        with psycopg.connect(
            site.postgres.url(), autocommit=True, options="-c default_transaction_read_only=off"
        ) as server:
            server.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}")
            server.execute("SELECT pg_reload_conf()")
            if value == "on":
                # So that some sessions begin as read-only ones.
                server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 'fault_%'")
                hold(chance.uniform(1, 3))


def rows_locked(site: Site, chance: random.Random) -> None:
    """By a transaction that somebody has forgotten: writes of these rows are refused, and nothing else."""
    with psycopg.connect(site.database_url) as forgotten:
        forgotten.execute(f"SELECT FROM {TABLE} FOR UPDATE")
        # Longer than DATABASE_LOCK_TIMEOUT_S, whose default is longer than a busy machine takes to change a table.
        hold(chance.uniform(4, 5))
        assert httpx.get(f"{site.platform.organization_url}/health/live", timeout=DEADLINE_S).is_success


def clock_jumps(site: Site, chance: random.Random) -> None:
    shifted_clock.set_ahead(site.database_url, chance.choice([-1, 1]) * chance.uniform(_HOUR_S, 2 * _HOUR_S))
    hold(chance.uniform(0.5, 3))
    shifted_clock.set_ahead(site.database_url, 0)


def schema_changed(site: Site, chance: random.Random) -> None:
    """Columns get another type, and tables another column, under sessions that have read and written them before."""
    with (
        psycopg.connect(site.licensing_database_url, autocommit=True) as licensing,
        psycopg.connect(site.database_url, autocommit=True) as organization,
    ):
        licensing.execute("ALTER TABLE licenses_license ALTER license_type TYPE varchar(150), ADD added text")
        organization.execute("ALTER TABLE organizations_organization ALTER contact_name TYPE text, ADD added text")
        organization.execute("ALTER TABLE event_stream_outbox ALTER key TYPE varchar(200), ADD added text")
        hold(chance.uniform(0.2, 1))
        licensing.execute("ALTER TABLE licenses_license ALTER license_type TYPE varchar(100), DROP added")
        organization.execute("ALTER TABLE organizations_organization ALTER contact_name TYPE varchar(200), DROP added")
        organization.execute("ALTER TABLE event_stream_outbox ALTER key TYPE text, DROP added")


FAULTS = [
    Fault("redis flushed", redis_flushed),
    Fault("redis killed, empty after it", redis_killed),
    Fault("redis failed over to an older replica", redis_failed_over),
    Fault("redis demoted behind the same address", redis_demoted),
    Fault("postgresql restarted", postgresql_restarted, excuse=says_so),
    Fault("postgresql killed", postgresql_killed, excuse=says_so),
    Fault("postgresql read-only", postgresql_read_only, excuse=says_so),
    Fault("rows locked by a forgotten transaction", rows_locked, excuse=writes_say_so),
    Fault("database clock jumps by an hour or two", clock_jumps),
    Fault("schema changed", schema_changed),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_server_may_go_away(site: Site, fault: Fault) -> None:
    run(site, fault, rounds=max(1, ROUNDS // 2)).assert_right()
