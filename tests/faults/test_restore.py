"""All organizations flushed away by `manage.py flush`, then restored from a dump that is older than the caches; and the
whole database restored from a backup, as docs/runbook.md says."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psycopg
import redis

from devstack.django_commands import ORGANIZATION, manage
from devstack.process import start_in_parallel, stop_in_parallel
from tests.consistency.history import Read, Write
from tests.consistency.load import Client
from tests.e2e.world import Customer
from tests.event_stream.leaks import lets_sockets_leak
from tests.event_stream.postgres_programs import dump_data, dump_database, restore, restore_database
from tests.faults import evidence, naive, results
from tests.faults.campaign import CUSTOMERS
from tests.faults.oracle import Commit, Evidence, Final, judge
from tests.faults.site import BOUND_S, TABLE, Site
from tests.faults.tolerant import Tolerant

pytestmark = lets_sockets_leak
ABSENT = 0
"""The version of an organization that is gone."""


class Side:
    """The product or the control: what its clients wrote, read, and were answered when all was quiet."""

    def __init__(self, client: Client, customers: Sequence[Customer], database_url: str, table: str) -> None:
        self._client, self._customers = client, customers
        self._database_url, self._table = database_url, table
        self.writes: list[Write] = []
        self.reads: list[Read] = []
        self.finals: list[Final] = []

    def change(self) -> None:
        """Change each organization, and put it into the caches."""
        for customer in self._customers:
            write = self._client.write(customer)
            assert isinstance(write, Write), write
            self.writes.append(write)

    def read(self) -> None:
        for customer in self._customers:
            for instance in range(self._client.instances):
                read = self._client.read(customer, instance)
                assert isinstance(read, Read), read
                self.reads.append(read)

    def compare_with_owner(self, site: Site) -> None:
        owners = evidence.owners(self._database_url, self._table, {customer.id for customer in self._customers})
        for customer in self._customers:
            for instance in range(self._client.instances):
                version = self._answer(site, customer, instance)
                self.finals.append(Final(customer.id, instance, version, owners.get(customer.id, ABSENT)))

    def _answer(self, site: Site, customer: Customer, instance: int) -> int:
        if self._client is site.naive:
            read = site.naive.read(customer, instance)
            assert isinstance(read, Read), read
            return read.version
        lookup = site.world.lookup(customer, instance)
        return ABSENT if lookup.absent else lookup.version


def test_a_flush_and_a_restore_reach_every_cache(site: Site, tmp_path: Path) -> None:
    customers = site.customers(CUSTOMERS)
    ids = {customer.id for customer in customers}
    product = Side(Tolerant(site.world), customers, site.database_url, TABLE)
    control = Side(site.naive, customers, site.naive_database_url, naive.TABLE)
    sides = (product, control)

    for side in sides:
        side.change()
    dump, naive_dump = dump_data(site.database_url, TABLE), dump_data(site.naive_database_url, naive.TABLE)
    for side in sides:
        side.change()
    site.settle()
    for side in sides:
        side.read()

    manage(ORGANIZATION, site.platform.organization_settings, ["flush", "--no-input"])
    with psycopg.connect(site.naive_database_url) as connection:
        connection.execute(f"TRUNCATE {naive.TABLE}")
    site.settle()
    for side in sides:
        side.compare_with_owner(site)
    flushed = len(control.finals)

    restore(site.database_url, dump, tmp_path)
    restore(site.naive_database_url, naive_dump, tmp_path)
    site.settle()
    for side in sides:
        side.compare_with_owner(site)

    log = evidence.log(site.bootstrap_servers, site.platform.topic, ids)
    commits = evidence.commits(site.database_url, ids)
    # The witness sees no TRUNCATE. What is in the log beside what it saw has to be the deletion of each, once.
    deletions = {(event.organization_id, event.version) for event in log} - {
        (commit.organization_id, commit.version) for commit in commits
    }
    assert Counter(organization_id for organization_id, _ in deletions) == Counter(ids)
    now_s = time.time()
    verdict = judge(
        Evidence(
            commits=[*commits, *(Commit(organization_id, version, now_s) for organization_id, version in deletions)],
            log=log,
            marks=evidence.marks(site.database_url, ids),
            writes=product.writes,
            reads=product.reads,
            finals=product.finals,
            max_staleness_s=BOUND_S,
        )
    )
    naive_verdict = judge(
        Evidence(
            commits=evidence.commits(site.naive_database_url, ids),
            log=evidence.log(site.bootstrap_servers, site.naive.topic, ids),
            marks=[],
            writes=control.writes,
            reads=control.reads,
            finals=control.finals,
            max_staleness_s=BOUND_S,
        )
    )
    results.add(results.Row.of("flushed and restored", 1, verdict, naive_verdict, 0))
    assert not verdict.wrong
    # The oracle would have seen it: the control goes on with organizations that are gone, then with versions that are.
    for quiet in (control.finals[:flushed], control.finals[flushed:]):
        assert any(final.version != final.owners for final in quiet)


def test_a_database_restored_from_a_backup_reaches_every_cache(site: Site, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    old, new = site.customers(2), []
    side = Side(Tolerant(site.world), old, site.database_url, TABLE)
    side.change()
    site.settle()
    # Its event is in the backup, and not in the log yet.
    stop_in_parallel(site.relays)
    unsent = site.world.change(old[0], "unsent").headers["Organization-Version"]
    dump_database(site.database_url, backup)
    start_in_parallel(site.relays)

    # What comes after the backup is lost with the database, and the caches have it.
    side.change()
    new += site.customers(1)
    site.settle()
    side.read()
    for instance in range(len(site.platform.licensing_urls)):
        assert not site.world.lookup(new[0], instance).absent
    owned = [site.platform.organization, *site.relays]
    stop_in_parallel(owned)
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public, shifted CASCADE")
        connection.execute("CREATE SCHEMA public")
    restore_database(site.database_url, backup)
    start_in_parallel(owned)
    site.settle()

    def compare() -> tuple[list[Final], list[Final]]:
        """Of those that were in the backup, and of the one that was not."""
        found = Side(side._client, old, site.database_url, TABLE)
        found.compare_with_owner(site)
        other = Side(side._client, new, site.database_url, TABLE)
        other.compare_with_owner(site)
        return found.finals, other.finals

    # The events that were not sent are sent, and evict; the rest of the caches knows more than the owner does.
    log = evidence.log(site.bootstrap_servers, site.platform.topic, {old[0].id})
    assert int(unsent) in {event.version for event in log}
    assert any(final.version != final.owners for finals in compare() for final in finals), "nothing to repair"

    with redis.Redis.from_url(site.valkey.url()) as cache:
        cache.flushdb()
    with psycopg.connect(site.database_url) as connection:
        connection.execute("UPDATE organizations_organization SET name = name")
    site.settle()

    for finals in compare():
        assert [final for final in finals if final.version != final.owners] == []
    # Each was announced again, for the other consumers of the topic.
    announced = evidence.log(site.bootstrap_servers, site.platform.topic, {customer.id for customer in old})
    owners = evidence.owners(site.database_url, TABLE, {customer.id for customer in old})
    assert owners.items() <= {(event.organization_id, event.version) for event in announced}
