"""SIGKILL and SIGSTOP, at points drawn by chance, to each process that works on changes."""

import random
from collections.abc import Callable

import pytest

from manage_scripts.stack.process import SupervisedProcess
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import Fault, Strike, cut_off, hold, run, says_so
from tests.faults.site import Site

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
    run(site, fault).assert_right()
