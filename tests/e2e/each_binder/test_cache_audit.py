"""`manage.py cache_audit` and `cache_inspect` on the running platform."""

import json
import subprocess
from typing import Any, cast

import pytest
import redis

from devstack.django_commands import LICENSING
from devstack.environment import service_environment
from devstack.waiting import wait_until
from tests.e2e.world import DEADLINE_S, Customer, World, fresh

INCONSISTENT = 3
UNCHECKED = 5


def command(world: World, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        LICENSING.command(*arguments),
        check=False,
        capture_output=True,
        text=True,
        env=service_environment(world.platform.licensing_settings),
    )


def report(done: "subprocess.CompletedProcess[str]") -> Any:
    """The JSON object that it ended with; its log lines go elsewhere."""
    return json.loads(done.stdout.splitlines()[-1])


def plant(world: World, customer: Customer, older: int) -> None:
    """What the protocol rules out: a fresh entry below the true version."""
    with redis.Redis.from_url(world.platform.licensing_settings["REDIS_URL"]) as cache:
        [key] = cast("list[bytes]", cache.keys(f"*:o:{customer.id}"))
        entry = cast("bytes", cache.get(key))
        kind, _, rest = entry.split(b"|", 2)
        cache.set(key, b"|".join([kind, str(older).encode(), rest.replace(b"Ann", b"Bob")]), keepttl=True)


def test_every_change_is_read_again_and_found_consistent(world: World) -> None:
    # Where nothing is kept for a later group, what is sent from here on is there for this one.
    assert command(world, "cache_audit", "--until-caught-up", "--after", "0.1").returncode in {0, UNCHECKED}
    customer = world.customer()
    for _ in range(3):
        changed = world.change(customer, fresh("contact"))
    world.published(customer.id)

    def applied() -> bool:
        return world.lookup(customer, 0).version == int(changed.headers["Organization-Version"])

    assert wait_until(applied, within_s=DEADLINE_S)
    first = command(world, "cache_audit", "--until-caught-up", "--after", "0.1", "--json")
    assert first.returncode == 0, first.stderr
    [check] = report(first)["checks"]
    assert report(first)["changes"] >= 4
    assert check["checked"] == report(first)["changes"] - report(first)["unversioned"]
    assert check["stale"] == 0
    assert 0 < check["stale_at_most"] < 1
    # A group of its own: it goes on where it stopped.
    again = command(world, "cache_audit", "--until-caught-up", "--after", "0.1")
    assert again.returncode == UNCHECKED, again.stderr
    assert "0 changes" in again.stdout
    assert "Not checked: no change came." in again.stderr


def test_a_sweep_finds_what_is_stale_and_repairs_it(world: World) -> None:
    if not world.capabilities.seekable:
        pytest.skip("nothing vouches for an entry beyond its own age here: none can be stale after the bound")
    customer = world.customer()
    version = world.cached(customer)[0].version
    plant(world, customer, version - 1)
    assert world.lookup(customer, 0).version == version - 1

    # The platform's bound is two minutes: with one of its own the sweep need not wait for so long.
    world.platform.licensing_settings["ORGANIZATION_MAX_STALENESS_S"] = "5"
    try:
        found = command(world, "cache_audit", "--sweep", "--json")
        assert found.returncode == INCONSISTENT, found.stderr
        [broken] = report(found)["broken"]
        assert (broken["id"], broken["verdict"]) == (customer.id, "STALE")
        repaired = command(world, "cache_audit", "--sweep", "--repair")
        assert repaired.returncode == INCONSISTENT
        assert f"{customer.id}: cached {version - 1}, true {version}, evicted" in repaired.stdout
        assert command(world, "cache_audit", "--sweep").returncode == 0
    finally:
        world.platform.licensing_settings["ORGANIZATION_MAX_STALENESS_S"] = "120"
    assert world.lookup(customer, 0).version == version


def test_where_nothing_is_vouched_for_a_sweep_waits_for_the_bound_and_finds_nothing_broken(world: World) -> None:
    if world.capabilities.seekable:
        pytest.skip("a log vouches for entries here")
    customer = world.customer()
    version = world.cached(customer)[0].version
    plant(world, customer, version - 1)
    world.platform.licensing_settings["ORGANIZATION_MAX_STALENESS_S"] = "5"
    try:
        found = command(world, "cache_audit", "--sweep", "--json")
    finally:
        world.platform.licensing_settings["ORGANIZATION_MAX_STALENESS_S"] = "120"
    assert found.returncode == 0, found.stderr
    assert report(found)["counts"]["UNVALIDATED"] >= 1
    # The next change evicts it, whatever it is.
    contact = fresh("contact")
    world.change(customer, contact)
    assert wait_until(lambda: world.lookup(customer, 0).contact == contact, within_s=DEADLINE_S)


def test_options_that_do_not_go_together_are_refused(world: World) -> None:
    done = command(world, "cache_audit", "--repair")
    assert done.returncode == 1
    assert "--repair goes with --sweep" in done.stderr


def test_an_entry_is_explained_in_words(world: World) -> None:
    customer = world.customer()
    version = world.cached(customer)[0].version
    done = command(world, "cache_inspect", customer.id)
    assert done.returncode == 0, done.stderr
    assert f"version {version}" in done.stdout
    assert "a hit" in done.stdout
    assert command(world, "cache_inspect", "no-uuid").returncode == 1
