"""Web processes behind PgBouncer in transaction mode; the relays have sessions of their own, past it."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack.pgbouncer import PgBouncerMissing
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import Fault, hold, run
from tests.faults.site import Site

pytestmark = lets_sockets_leak


@pytest.fixture
def pooled() -> Iterator[Site]:
    with tempfile.TemporaryDirectory(prefix="pooled-") as folder:
        Path(folder).chmod(0o711)
        try:
            site = Site(Path(folder), pooled=True)
        except PgBouncerMissing as missing:
            pytest.skip(str(missing))
        with site:
            yield site


def relay_killed(site: Site, chance: random.Random) -> None:
    relay = chance.choice(site.relays)
    relay.kill()
    hold(chance.uniform(0, 1))
    relay.start()


def test_nothing_is_refused_behind_a_pooler_and_one_relay_leads(pooled: Site) -> None:
    run(pooled, Fault("relay killed, web processes behind a pooler", relay_killed), rounds=2).assert_right()
