"""What befalls Redis and the broker."""

from collections.abc import Iterator

from tests.model.configuration import Configuration
from tests.model.protocol import Cache, Floor
from tests.model.world import World


def redis(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    cache, replica, left = world.cache, world.replica, world.left
    if cache.entry is not None and not (configuration.floor_outlasts_lag and _outlasts(cache, world.shown)):
        yield "redis: forgets the entry", world._replace(cache=cache._replace(entry=None))
    if cache.lease is not None:
        yield "redis: the lease lapses", world._replace(cache=cache._replace(lease=None))
    if cache.watermark is not None and left.lost_watermark:
        spent = left._replace(lost_watermark=left.lost_watermark - 1)
        yield "redis: evicts the watermark", world._replace(cache=cache._replace(watermark=None), left=spent)
    if left.flush:
        spent = left._replace(flush=left.flush - 1)
        yield "redis: FLUSHALL", world._replace(cache=Cache(), replica=Cache(), left=spent)
    if left.failover and replica is not None and replica != cache:
        yield "redis: the replica catches up", world._replace(replica=cache)
        spent = left._replace(failover=left.failover - 1)
        yield "redis: fails over to the replica", world._replace(cache=replica, left=spent)


def _outlasts(cache: Cache, shown: int) -> bool:
    return isinstance(cache.entry, Floor) and (shown < cache.entry.version or cache.lease is not None)


def broker(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    if world.left.truncation:
        left = world.left._replace(truncation=world.left.truncation - 1)
        for end in range(len(world.log)):
            lost = len(world.log) - end
            yield f"broker: unclean election, {lost} records are gone", world._replace(log=world.log[:end], left=left)
