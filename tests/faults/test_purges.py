"""Purges killed in the middle, beside processes that go on with new rows."""

import random
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
from kafka import KafkaConsumer, TopicPartition
from kafka.structs import OffsetAndMetadata

from devstack.django_commands import JOURNAL
from devstack.environment import ROOT, service_environment
from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from tests.e2e.any_binder.test_audit_journal import Journal
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults import evidence
from tests.faults.campaign import CUSTOMERS, ROUNDS, Fault, run
from tests.faults.site import SETTLE_S, Site

pytestmark = lets_sockets_leak
OLD = 20_000
"""Rows, which are many batches of a purge."""
_KEPT_FOR = timedelta(hours=72)
_MARK = "old"
_OLD_SENT = f"event_stream_outbox WHERE key = '{_MARK}'"
_OLD_HANDLED = f"event_stream_inbox_inboxentry WHERE \"group\" = '{_MARK}'"


def count(database_url: str, rows: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {rows}").fetchone()
        assert row is not None
        return int(row[0])


def outgrown(site: Site) -> None:
    """Rows that were published longer ago than rows are kept."""
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute(
            """
            INSERT INTO event_stream_outbox
                (event_id, binding, key, payload, headers, correlation_id, written_at, published_at)
            SELECT gen_random_uuid(), %(mark)s, %(mark)s, '{}', '{}', '', at, at
            FROM generate_series(1, %(count)s), (SELECT now() - %(age)s AS at) AS long_ago
            """,
            {"mark": _MARK, "count": OLD, "age": _KEPT_FOR * 2},
        )


def purge_killed(site: Site, chance: random.Random) -> None:
    outgrown(site)
    # The leader is due every ten seconds, and goes on at once while there is more.
    rest = chance.randint(OLD // 10, OLD * 9 // 10)
    begun = wait_until(lambda: count(site.database_url, _OLD_SENT) < rest, within_s=SETTLE_S, every_s=0.005)
    assert begun, "nothing is purged"
    for relay in site.relays:
        relay.kill()
    left.append(count(site.database_url, _OLD_SENT))
    for relay in site.relays:
        relay.start()


def begin_at_the_end(site: Site, group: str) -> None:
    """What other tests have sent to the topic, tens of thousands of messages, is no affair of this group."""
    topic, ends = site.platform.topic, evidence.ends(site.bootstrap_servers, site.platform.topic)
    servers = site.bootstrap_servers.split(",")
    with closing(KafkaConsumer(bootstrap_servers=servers, group_id=group, enable_auto_commit=False)) as consumer:
        consumer.commit(
            {TopicPartition(topic, partition): OffsetAndMetadata(last + 1, "", -1) for partition, last in ends.items()}
        )


left: list[int] = []
"""How many old rows there were after each kill."""


def test_a_purge_of_the_outbox_may_be_killed_and_takes_nothing_that_is_not_sent(site: Site) -> None:
    left.clear()
    run(site, Fault("relay killed while it purges", purge_killed), rounds=max(1, ROUNDS // 2)).assert_right()
    assert any(left), "each was killed too late"
    assert wait_until(lambda: count(site.database_url, _OLD_SENT) == 0, within_s=SETTLE_S), "old rows are left"


def test_a_purge_of_the_inbox_may_be_killed_and_every_event_is_handled_once(site: Site, tmp_path: Path) -> None:
    """Beside the consumer of the example, which writes a row for each event."""
    journal = Journal(site.world, tmp_path)
    begin_at_the_end(site, journal.group)
    customers = site.customers(CUSTOMERS)
    ids = {customer.id for customer in customers}
    purge = SupervisedProcess(
        "purge",
        JOURNAL.command("purge_inbox", "--batch-size", "10"),
        log=tmp_path / "purge.log",
        ready=lambda: True,
        env=service_environment(journal.settings),
        cwd=ROOT,
    )
    database_url = journal.settings["DATABASE_URL"]

    def strike(site: Site, chance: random.Random) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute(
                'INSERT INTO event_stream_inbox_inboxentry ("group", event_id, received_at) '
                "SELECT %s, gen_random_uuid()::text, now() - interval '90 days' FROM generate_series(1, %s)",
                [_MARK, OLD // 10],
            )
        rest = count(database_url, _OLD_HANDLED) - chance.randint(OLD // 100, OLD // 20)
        purge.spawn()
        assert wait_until(lambda: count(database_url, _OLD_HANDLED) <= rest, within_s=SETTLE_S, every_s=0.005)
        purge.kill()
        assert count(database_url, _OLD_HANDLED) > 0, "it was killed too late"

    with journal.consumer("journal"):
        fault = Fault("purge of the inbox killed", strike)
        run(site, fault, rounds=max(1, ROUNDS // 2), customers=customers).assert_right()
        told = len(set(evidence.log(site.bootstrap_servers, site.platform.topic, ids)))
        assert wait_until(lambda: journal.rows(ids).total() >= told, within_s=SETTLE_S), "not all is handled"
    assert set(journal.rows(ids).values()) == {1}
    purge.spawn()
    assert wait_until(lambda: count(database_url, _OLD_HANDLED) == 0, within_s=SETTLE_S), "old rows are left"
    assert wait_until(lambda: not purge.is_running, within_s=SETTLE_S)
    assert count(database_url, "event_stream_inbox_inboxentry") >= told, "what may come again was forgotten"
