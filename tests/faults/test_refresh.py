"""Settings are changed while clients write and read: every process follows, and no request or message is lost."""

import os
import random
import re
import signal
from collections.abc import Callable

import httpx
import pytest

from devstack.django_commands import LICENSING, ORGANIZATION, manage
from devstack.errors import StackError
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Customer, Watch
from tests.event_stream.leaks import lets_sockets_leak
from tests.faults.campaign import CUSTOMERS, Fault, run
from tests.faults.site import BOUND_S, Site
from tests.faults.test_web import reload_web, waited_too_long

pytestmark = lets_sockets_leak
LOWER_S = BOUND_S / 2


def by_signal(site: Site) -> None:
    """SIGHUP to each process, one after the other. gunicorn replaces its workers."""
    for web in (site.platform.organization, *site.platform.licensing):
        reload_web(web)
    for process in (*site.platform.workers, *site.relays):
        os.kill(process.pid, signal.SIGHUP)


def by_event(site: Site) -> None:
    """One command for each service."""
    for project, settings in (
        (LICENSING, site.platform.licensing_settings),
        (ORGANIZATION, site.platform.organization_settings),
    ):
        manage(project, settings, ["refresh_configuration"])


@pytest.mark.parametrize(
    ("name", "tell"), [("settings refreshed by SIGHUP", by_signal), ("settings refreshed by an event", by_event)]
)
def test_a_refresh_loses_nothing(site: Site, name: str, tell: Callable[[Site], None]) -> None:
    customers = site.customers(CUSTOMERS)
    relays = Watch(site.relays)

    def strike(site: Site, chance: random.Random) -> None:
        versions = [versions_of(site)]
        for limit_s, level in ((LOWER_S, "DEBUG"), (BOUND_S, "INFO")):
            site.configure(ORGANIZATION_MAX_STALENESS_S=str(limit_s), LOG_LEVEL=level)
            tell(site)
            assert wait_until(lambda: follow(site, versions[-1]), within_s=DEADLINE_S), versions_of(site)
            versions.append(versions_of(site))
            assert max_ages_s(site, customers[0]) == {int(limit_s)}
        # The same values are the same version, in each process of a service.
        assert versions[0] == versions[2]
        assert len(set(versions[1])) == 2

    try:
        outcome = run(site, Fault(name, strike, excuse=waited_too_long), rounds=1, customers=customers)
        outcome.assert_right()
        refreshed = relays.seen("configuration.refreshed")
        assert len([entry for entry in refreshed if "LOG_LEVEL" in entry["changes"]]) == 2 * len(site.relays)
        # With the level, the lines for each row came and went.
        assert relays.seen("outbox.published")
    finally:
        site.configure()
        by_event(site)


def test_what_is_wrong_or_needs_a_restart_is_said_by_each_process(site: Site) -> None:
    before = versions_of(site)
    try:
        site.configure(ORGANIZATION_MAX_STALENESS_S="soon", LOG_LEVEL="DEBUG")
        with pytest.raises(StackError, match="ORGANIZATION_MAX_STALENESS_S should be a number of seconds"):
            manage(LICENSING, site.platform.licensing_settings, ["refresh_configuration"])
        # gunicorn itself would end.
        site.configure(WEB_THREADS="many")
        web = site.platform.licensing[0]
        watch = Watch([web])
        reload_web(web)
        assert watch.seen("configuration.refused")
        site.assert_alive()
        assert versions_of(site) == before

        site.configure(REDIS_TIMEOUT_S="0.4")
        manage(LICENSING, site.platform.licensing_settings, ["refresh_configuration"])
        for url in (*site.platform.licensing_urls, *site.platform.worker_urls):
            assert configuration_of(url)["needsRestart"] == ["REDIS_TIMEOUT_S"]
    finally:
        site.configure()
        by_event(site)
    assert all(configuration_of(url)["needsRestart"] == [] for url in urls(site))


def urls(site: Site) -> list[str]:
    return [site.platform.organization_url, *site.platform.licensing_urls, *site.platform.worker_urls]


def configuration_of(url: str) -> dict[str, object]:
    configuration: dict[str, object] = httpx.get(f"{url}/health/ready", timeout=20).json()["configuration"]
    return configuration


def versions_of(site: Site) -> list[object]:
    """Which version each process says it runs."""
    return [configuration_of(url)["version"] for url in urls(site)]


def follow(site: Site, before: list[object]) -> bool:
    return all(new != old for new, old in zip(versions_of(site), before, strict=True))


def max_ages_s(site: Site, customer: Customer) -> set[int]:
    """For how long each instance says that its answer may be used."""
    answers = [site.world.ask(customer, instance) for instance in range(len(site.platform.licensing_urls))]
    found = [re.search(r"max-age=(\d+)", answer.headers["Cache-Control"]) for answer in answers]
    return {int(match[1]) for match in found if match}
