"""Every process replaced under load by one of the next version, and back; and a machine that loses its power."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg

from devstack.django_commands import manage
from devstack.process import start_in_parallel
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import CUSTOMERS, Fault, cut_off, hold, run
from tests.faults.next_version import contracted, next_version
from tests.faults.site import Site

pytestmark = lets_sockets_leak


def test_a_new_version_runs_beside_the_old_one(site: Site, tmp_path: Path) -> None:
    """Expand the schema, replace each process by the next version, then by this one again, contract the schema."""
    customers = site.customers(CUSTOMERS)
    answers: list[dict[str, object]] = []

    def strike(site: Site, chance: random.Random) -> None:
        settings = site.platform.organization_settings
        organization, licensing = next_version(tmp_path / "next")
        manage(organization, settings, ["migrate", "--noinput"])
        hold(chance.uniform(0, 1))
        site.roll_out(organization, licensing)
        hold(chance.uniform(0, 1))
        answers.append(site.world.ask(customers[0], 0).json())
        site.roll_out()
        manage(contracted(tmp_path / "last"), settings, ["migrate", "--noinput"])
        hold(chance.uniform(0, 1))
        answers.append(site.world.ask(customers[0], 0).json())

    run(site, Fault("new version beside the old", strike), rounds=1, customers=customers).assert_right()
    # It was another representation, and there were other events.
    assert ["organizationNote" in answer for answer in answers] == [True, False]
    with psycopg.connect(site.database_url) as connection:
        statement = "SELECT count(*) FROM event_stream_outbox WHERE payload->>'region' = 'north' AND key = ANY(%s)"
        [(with_field,)] = connection.execute(statement, [[customer.id for customer in customers]]).fetchall()
    assert with_field > 0


def test_a_power_cut_loses_nothing(site: Site) -> None:
    """Every process is killed at once, servers and services; then all are started, servers first."""

    def strike(site: Site, chance: random.Random) -> None:
        ours = [*site.platform.processes, *site.relays, *site.naive.processes]
        everything = [*ours, *site.servers]
        with ThreadPoolExecutor(len(everything)) as pool:
            list(pool.map(lambda process: process.kill(), everything))
        hold(chance.uniform(0, 1))
        start_in_parallel(site.servers)
        start_in_parallel(ours)

    run(site, Fault("power cut", strike, excuse=cut_off), rounds=1).assert_right()
