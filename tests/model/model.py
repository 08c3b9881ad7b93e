"""The whole: every step that can follow a state, and what must never be seen in one.

What it takes for granted: a script and a transaction are one step each; the log keeps its order and what it has
acknowledged; one replica; epochs and tokens are never used twice; one organization and one partition, as neither looks
at another. Its clock counts commits, so it says nothing about the error of real ones.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

from tests.model.configuration import Configuration
from tests.model.faults import broker, redis
from tests.model.protocol import Epoch, Floor, Value, Watermark, fresh_at
from tests.model.readers import readers
from tests.model.search import Outcome, Progress, search
from tests.model.source import database, foreign, relay
from tests.model.worker import mishaps, offsets, worker, zombie
from tests.model.world import World, canonical, initial

ACTORS = (database, relay, foreign, worker, offsets, zombie, mishaps, readers, redis, broker)

BOUND_BROKEN = "older than it is vouched to be"
STALE_FOR_EVER = "stale for ever"


class Explore(Protocol):
    """`explore` as the tests are given it (`conftest`): each configuration is searched once, however many tests ask."""

    def __call__(self, configuration: Configuration, *, live: bool = False) -> Outcome[World]: ...


def explore(
    configuration: Configuration, *, progress: Progress, live: bool = False, limit: int = 2_000_000
) -> Outcome[World]:
    """Search every reachable state. `live`: show too that from each one, `is_served_fresh` can still be reached."""
    return search(
        initial(configuration),
        steps(configuration),
        wrong(configuration),
        goal=is_served_fresh if live else None,
        limit=limit,
        progress=progress,
    )


def steps(configuration: Configuration) -> Callable[[World], Iterator[tuple[str, World]]]:
    def following(world: World) -> Iterator[tuple[str, World]]:
        for actor in ACTORS:
            for label, after in actor(configuration, world):
                yield label, canonical(configuration, after)

    return following


def wrong(configuration: Configuration) -> Callable[[World], str | None]:
    """What breaks one of the two promises.

    Bounded: no value counts as fresh at a time when it was not the newest any more (READ hits on no other ground).
    Not for ever: once all is published and applied, no value that is not the newest stays fresh.
    """

    def broken(world: World) -> str | None:
        if not isinstance(entry := world.cache.entry, Value):
            return None
        as_of = fresh_at(world.cache)
        if configuration.bounded and as_of is not None and entry.version < as_of:
            return f"{BOUND_BROKEN}: v{entry.version}, vouched as of {as_of}"
        if entry.version != world.newest and configuration.rules.is_fresh(world.cache) and world.settled():
            return f"{STALE_FOR_EVER}: v{entry.version}, and the database has v{world.newest}"
        return None

    return broken


def is_served_fresh(world: World) -> bool:
    """Whether the newest version is there, and the watermark says that it is the newest."""
    entry, _, watermark = world.cache
    if not isinstance(entry, Value) or watermark is None:
        return False
    return entry.epoch == watermark.epoch and entry.version == watermark.as_of == world.newest


def report(outcome: Outcome[World]) -> str:
    """The outcome as a person reads it: its size, the violation, and the steps to it with what Redis has after each."""
    if outcome.violation is None:
        return f"holds: {outcome.size()}"
    lines = [f"violation after {outcome.size()}: {outcome.violation}"]
    width = max((len(label) for label, _ in outcome.trace), default=0)
    for number, (label, world) in enumerate(outcome.trace, 1):
        lines.append(f"  {number:2}. {label:{width}}  | {_contents(world)}")
    return "\n".join(lines)


def _contents(world: World) -> str:
    """Epochs are told apart only as the watermark's and others: their numbers in one state mean nothing in the next."""
    entry, lease, watermark = world.cache
    parts = []
    if isinstance(entry, Floor):
        parts.append(f"floor v{entry.version}")
    elif entry is not None:
        parts.append(f"v{entry.version}{_other(entry.epoch, watermark)}")
    if lease is not None:
        parts.append(f"lease{_other(lease.epoch, watermark)}")
    if watermark is not None:
        behind = len(world.log) - 1 - watermark.offset
        parts.append(f"watermark as of {watermark.as_of}{f', {behind} behind' if behind else ''}")
    return "; ".join(parts) or "nothing"


def _other(epoch: Epoch | None, watermark: Watermark | None) -> str:
    return " of another epoch" if watermark is not None and epoch != watermark.epoch else ""
