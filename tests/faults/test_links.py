"""Each link between the parts: cut, slow, and half closed."""

import random

import pytest

from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import ROUNDS, Fault, Strike, hold, none, run, says_so
from tests.faults.site import Site

pytestmark = lets_sockets_leak


def cut(name: str) -> Strike:
    def strike(site: Site, chance: random.Random) -> None:
        for link in site.links[name]:
            link.cut()
        hold(chance.uniform(0.2, 2))
        for link in site.links[name]:
            link.open()

    return strike


def slow(name: str) -> Strike:
    def strike(site: Site, chance: random.Random) -> None:
        delay_s = chance.uniform(0.05, 1)
        for link in site.links[name]:
            link.delay(delay_s)
        hold(chance.uniform(1, 3))
        for link in site.links[name]:
            link.delay(0)

    return strike


def half_closed(name: str) -> Strike:
    def strike(site: Site, chance: random.Random) -> None:
        towards_target = chance.random() < 0.5
        for link in site.links[name]:
            link.half_close(towards_target=towards_target)
        hold(chance.uniform(0.2, 1))

    return strike


FAULTS = [
    Fault(f"{name} link {how.__name__.replace('_', ' ')}", how(name), excuse)
    for name, excuse in (("kafka", none), ("redis", none), ("postgres", says_so), ("http", says_so))
    for how in (cut, slow, half_closed)
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_a_link_may_fail(site: Site, fault: Fault) -> None:
    run(site, fault, rounds=max(1, ROUNDS // 2)).assert_right()
