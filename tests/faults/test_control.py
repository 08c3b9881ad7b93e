"""The same harness finds a naive consumer and plain cache-aside wrong: were it right, the harness would see nothing."""

from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import ROUNDS, Fault, run
from tests.faults.site import Site

pytestmark = lets_sockets_leak
ATTEMPTS = 10
"""Where writes are fast, the next one soon takes away what was kept: chance spares the control in one run of three."""


def test_where_the_owner_is_slow_the_control_is_stale(site: Site) -> None:
    links = site.links["http"]
    for link in links:
        link.delay(0.5)
    try:
        fault = Fault("owner slow", lambda _site, _chance: None)
        for _ in range(ATTEMPTS):
            outcome = run(site, fault, rounds=max(3, ROUNDS), between=(20, 40), readers=8)
            outcome.assert_right()
            if outcome.naive.wrong_reads or outcome.naive.stale:
                break
    finally:
        for link in links:
            link.delay(0)
    # What its readers had in hand when a change was told, they kept: until the next one, or for ever after the last.
    assert outcome.naive.wrong_reads or outcome.naive.stale
