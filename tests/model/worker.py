"""What `consume_org_changes` does: apply batches, keep its place, die, lose its partition."""

from collections.abc import Iterator

from tests.model import protocol
from tests.model.configuration import Configuration
from tests.model.protocol import NEVER, Applied, Cache
from tests.model.world import FRESH, Kind, Record, World


def worker(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    """The worker that has the partition. The empty batch is the look it takes when idle, and here at any time."""
    position = world.position
    for last in _ends(configuration, world, position, empty=configuration.rules.watermark):
        cache, applied = _apply(configuration, world, position, last)
        batch = _names(world.log[position : last + 1])
        if applied is Applied.OK:
            yield f"worker: applies {batch}", world._replace(cache=cache, position=last + 1)
            if world.left.crash and not configuration.atomic_apply:
                left = world.left._replace(crash=world.left.crash - 1)
                moved = world._replace(cache=world.cache._replace(watermark=cache.watermark), left=left)
                yield f"worker: moves the watermark past {batch} and dies before it evicts", moved
        elif applied is Applied.NEW:
            yield "worker: finds no watermark, starts a new epoch", world._replace(cache=cache)
        elif configuration.seeks:
            yield "worker: is told to seek, goes to the watermark", world._replace(position=_after(cache))


def offsets(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    """The offset kept by the broker: all there is to go on from without a watermark, and of no account with one."""
    if configuration.rules.watermark:
        return
    if world.committed < world.position:
        yield "worker: commits its offset", world._replace(committed=world.position)
    if configuration.commit_first and world.committed <= world.position < len(world.log):
        yield "worker: commits the offset of what it has not applied", world._replace(committed=world.position + 1)


def mishaps(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    left, position = world.left, world.position
    if left.crash:
        spent = world._replace(left=left._replace(crash=left.crash - 1))
        for start in _starts(configuration, world):
            another = spent._replace(position=start)
            yield "worker: dies, another goes on", another
            if world.zombie is None and position < len(world.log):
                yield (
                    "worker: loses its partition with a batch in hand, another goes on",
                    another._replace(zombie=position),
                )
    if left.new_epoch:
        spent = world._replace(left=left._replace(new_epoch=left.new_epoch - 1))
        for start in range(len(world.log) + 1):
            cache = protocol.begin_epoch(world.cache, start - 1, FRESH)
            yield "worker: starts a new epoch of its own accord", spent._replace(cache=cache, position=start)


def zombie(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    """A worker that applies the batch it still holds, long after another has its partition."""
    if (start := world.zombie) is None:
        return
    for last in _ends(configuration, world, start, empty=False):
        cache, applied = _apply(configuration, world, start, last)
        after = world._replace(cache=cache, zombie=start if applied is Applied.NEW else None)
        yield f"zombie: late with {_names(world.log[start : last + 1])}: {applied.value}", after


def _ends(configuration: Configuration, world: World, start: int, *, empty: bool) -> range:
    return range(start - 1 if empty else start, min(start + configuration.batch, len(world.log)))


def _apply(configuration: Configuration, world: World, first: int, last: int) -> tuple[Cache, Applied]:
    events: list[int | None] = []
    as_of = NEVER
    for kind, number in world.log[first : last + 1]:
        if kind is Kind.HEARTBEAT:
            as_of = max(as_of, number)
        else:
            events.append(number if kind is Kind.EVENT else None)
    apply = configuration.rules.apply
    return apply(world.cache, prev=first - 1, last=last, events=events, as_of=as_of, new_epoch=FRESH)


def _starts(configuration: Configuration, world: World) -> range:
    """Where a new worker goes on: after the watermark. Without one anywhere, not to rely on the broker's offset."""
    if not configuration.rules.watermark:
        return range(world.committed, world.committed + 1)
    if world.cache.watermark is not None:
        return range(_after(world.cache), _after(world.cache) + 1)
    return range(len(world.log) + 1)


def _after(cache: Cache) -> int:
    if cache.watermark is None:
        raise AssertionError("only a watermark can tell a worker to seek")
    return cache.watermark.offset + 1


def _names(records: tuple[Record, ...]) -> str:
    return ", ".join(map(str, records)) or "an empty batch"
