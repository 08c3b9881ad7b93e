"""SIGKILL and SIGSTOP, at points drawn by chance, to each process that works on changes."""

import random
from collections.abc import Callable

import psycopg
import pytest

from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from event_stream.outbox.triggers import LEADER_LOCK
from tests.e2e.world import Watch
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import CHANGES, ROUNDS, Fault, Strike, cut_off, hold, run, says_so, spread
from tests.faults.site import SETTLE_S, Site

pytestmark = lets_sockets_leak
Victims = Callable[[Site], tuple[list[SupervisedProcess], SupervisedProcess]]
"""The product's, of which chance chooses one, and the control's."""


def workers(site: Site) -> tuple[list[SupervisedProcess], SupervisedProcess]:
    return site.platform.workers, site.naive.worker


def relays(site: Site) -> tuple[list[SupervisedProcess], SupervisedProcess]:
    """Two, of which one leads. The control sends from within its web process."""
    return site.relays, site.naive.organization


def webs(site: Site) -> tuple[list[SupervisedProcess], SupervisedProcess]:
    return [site.platform.organization, *site.platform.licensing], site.naive.web


def killed(victims: Victims) -> Strike:
    def strike(site: Site, chance: random.Random) -> None:
        ours, control = victims(site)
        victim = chance.choice(ours)
        victim.kill()
        control.kill()
        hold(chance.uniform(0, 0.5))
        victim.start()

    return strike


def frozen(victims: Victims) -> Strike:
    def strike(site: Site, chance: random.Random) -> None:
        ours, control = victims(site)
        victim = chance.choice(ours)
        for each in (victim, control):
            each.pause()
        hold(chance.uniform(0.2, 3))
        for each in (victim, control):
            each.resume()

    return strike


FAULTS = [
    Fault("worker killed", killed(workers)),
    Fault("worker frozen", frozen(workers)),
    Fault("relay killed", killed(relays)),
    Fault("relay frozen", frozen(relays)),
    Fault("web process killed", killed(webs), excuse=cut_off),
    Fault("web process frozen", frozen(webs), excuse=says_so),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_process_may_die_or_freeze(site: Site, fault: Fault) -> None:
    run(site, fault, between=spread(CHANGES, ROUNDS), changes=CHANGES).assert_right()


def leading_backend(site: Site) -> int | None:
    """The connection, as PostgreSQL numbers them, that makes a relay the leader."""
    with psycopg.connect(site.database_url) as connection:
        row = connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND classid = %s "
            "AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            [LEADER_LOCK >> 32, LEADER_LOCK & 0xFFFFFFFF],
        ).fetchone()
        return int(row[0]) if row else None


def leader_relieved(site: Site, chance: random.Random) -> None:
    """It stands still with what it has in hand, loses its seat to the other relay, and goes on as if nothing were."""
    backends = {
        line["backend_pid"]: relay
        for relay in site.relays
        for line in Watch([relay], from_start=True).seen("outbox.leader")
    }
    assert wait_until(lambda: leading_backend(site) in backends, within_s=SETTLE_S), "nobody leads"
    backend = leading_backend(site)
    leader = backends[backend]
    leader.pause()
    with psycopg.connect(site.database_url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s)", [backend])
    assert wait_until(lambda: leading_backend(site) not in (None, backend), within_s=SETTLE_S), (
        "the other does not lead"
    )
    hold(chance.uniform(0, 1))
    leader.resume()


def test_of_two_relays_one_leads_and_who_was_relieved_does_no_harm(site: Site) -> None:
    product = run(site, Fault("two relays: the leader frozen and relieved", leader_relieved)).product
    # What it had in hand, it sends once more after newer ones: an old version comes twice, which is harmless.
    late = [each for each in product.disorder if "the last copies" in each]
    assert set(product.wrong) == set(late)
