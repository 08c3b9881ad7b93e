"""A web process that looks for entries where the worker does not evict them: it has another number of partitions."""

import random

import httpx

from devstack.process import SupervisedProcess
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Watch
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import ROUNDS, Fault, cut_off, hold, run
from tests.faults.site import BOUND_S, Site

pytestmark = lets_sockets_leak


def restart_with(process: SupervisedProcess, **settings: str) -> None:
    """It need not become ready."""
    before = process.env
    process.stop()
    process.env = {**(before or {}), **settings}
    process.spawn()
    process.env = before


def settings_disagree(site: Site, chance: random.Random) -> None:
    process, url = site.platform.licensing[-1], site.platform.licensing_urls[-1]
    restart_with(process, ORG_CHANGE_PARTITIONS=chance.choice(["5", "7"]))
    restart_with(site.naive.web, CACHE_PREFIX="elsewhere")
    assert wait_until(lambda: _answer(url) is not None, within_s=DEADLINE_S), "it does not start"
    answer = _answer(url)
    assert answer is not None
    assert answer.status_code == 503
    assert "at the worker" in answer.json()["details"]["shared settings"]
    # Longer than anything may be fresh that was filled before the change.
    hold(BOUND_S * 2 + chance.uniform(0, 1))
    process.stop()
    process.start()
    site.naive.web.stop()


def _answer(url: str) -> httpx.Response | None:
    try:
        return httpx.get(f"{url}/health/ready", timeout=5)
    except httpx.HTTPError:
        return None


def test_a_process_whose_settings_disagree_serves_nothing_stale(site: Site) -> None:
    watch = Watch([site.platform.licensing[-1]])
    outcome = run(
        site,
        Fault("settings disagree", settings_disagree, excuse=cut_off),
        rounds=max(1, ROUNDS // 2),
    )
    outcome.assert_right()
    assert len(watch.seen("cache.settings_disagree")) == outcome.struck
    # The oracle would have seen it: the control's web process looks where nobody evicts, too, and does not notice.
    assert outcome.naive.wrong_reads
