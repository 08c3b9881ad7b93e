"""The search looks at what it should: the canonical form loses nothing, what matters does come about."""

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.model.configuration import AsOf, Budget, Configuration
from tests.model.model import ACTORS, steps, wrong
from tests.model.protocol import Cache
from tests.model.search import MOST_STATES, Steps, search
from tests.model.world import FRESH, World, canonical, initial

every_search = pytest.mark.skipif(MOST_STATES < 20_000, reason="searches of many states: without --unit")

WALKS = 100
STEPS_OF_A_WALK = 100


def reached(configuration: Configuration, following: Callable[[World], Steps[World]]) -> set[World]:
    """Every state of a complete search, which finds nothing wrong."""
    found: set[World] = set()

    def keep(world: World) -> str | None:
        found.add(world)
        return wrong(configuration)(world)

    assert search(initial(configuration), following, keep).violation is None
    return found


@every_search
@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(readers=2, budget=Budget(failover=1)),
        Configuration(budget=Budget(lost_watermark=1, flush=1)),
        Configuration(versions=2, budget=Budget(crash=1, duplicate=1)),
    ],
    ids=["failover", "lost_watermark_flush", "duplicate_crash"],
)
def test_a_walk_that_forgets_nothing_stays_within_the_searched_states(configuration: Configuration) -> None:
    """Walks at random, with a name of its own for every lease and epoch and a log that is never cut."""
    states = reached(configuration, steps(configuration))
    unbounded = replace(configuration, log_size=1_000_000)
    rng = random.Random(1)
    for _ in range(WALKS):
        world = initial(configuration)
        for name in range(1_000, 1_000 + STEPS_OF_A_WALK):
            choices = [after for actor in ACTORS for _, after in actor(unbounded, world)]
            choices = [after for after in choices if len(canonical(configuration, after).log) <= configuration.log_size]
            world = named(rng.choice(choices), name)
            assert canonical(configuration, world) in states


def named(world: World, name: int) -> World:
    """What is new in this state gets a name that no other has."""
    entry, lease, watermark = world.cache
    if lease is not None and lease.token == FRESH:
        lease = lease._replace(token=name)
    if watermark is not None and watermark.epoch == FRESH:
        watermark = watermark._replace(epoch=name)
    readers = tuple(reader._replace(token=name) if reader.token == FRESH else reader for reader in world.readers)
    return world._replace(cache=Cache(entry, lease, watermark), readers=readers)


@every_search
def test_the_canonical_form_of_a_canonical_form_is_itself() -> None:
    configuration = Configuration(readers=2, budget=Budget(failover=1))
    for world in reached(configuration, steps(configuration)):
        assert canonical(configuration, world) == world


@pytest.mark.parametrize(
    ("configuration", "situations"),
    [
        (
            Configuration(readers=2, budget=Budget(failover=1)),
            {
                "worker: applies v1, heartbeat 1",
                "worker: is told to seek, goes to the watermark",
                "reader 2: refused: the lease is not the reader's own",
            },
        ),
        (
            Configuration(budget=Budget(lost_watermark=1, crash=1)),
            {
                "worker: finds no watermark, starts a new epoch",
                "zombie: late with v1: applied",
                "zombie: late with v1: no watermark: a new epoch was started, apply the batch again",
                "zombie: late with v1: not the batch that follows the watermark: go on from watermark.offset + 1",
            },
        ),
        (
            Configuration(lagging_source=True, as_of=AsOf.SOURCE, floor_outlasts_lag=True),
            {"reader: refused: older than what is there", "source: catches up to v1"},
        ),
        (
            Configuration(versions=2, bounded=False, budget=Budget(foreign=1)),
            {"worker: applies v2, event without a version"},
        ),
    ],
    ids=["failover", "lost_watermark", "lagging_source", "foreign"],
)
def test_what_the_protocol_is_made_for_comes_about(configuration: Configuration, situations: set[str]) -> None:
    seen: set[str] = set()

    def following(world: World) -> Steps[World]:
        for label, after in every(world):
            seen.add(label)
            yield label, after

    every = steps(configuration)
    reached(configuration, following)
    assert situations <= seen
