"""What the organization service does, its writes and its relay; and a foreign producer on the same topic."""

from collections.abc import Iterator

from tests.model.configuration import Configuration, Heartbeat
from tests.model.world import Kind, Record, World, Writing


def database(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    if world.shown < world.newest:
        yield f"source: catches up to v{world.shown + 1}", world._replace(shown=world.shown + 1)
    if world.newest == configuration.versions:
        return
    name = f"v{world.newest + 1}"
    committed = _committed(configuration, world)
    with_row = committed._replace(unpublished=(*world.unpublished, committed.newest))
    if configuration.slow_writes and world.writing is Writing.NONE:
        yield f"database: {name} is written, but not committed", world._replace(writing=Writing.OPEN)
    elif world.writing is Writing.OVERTAKEN:
        yield f"database: commits {name}, whose outbox id is below the relay's cursor", committed
    else:
        yield f"database: commits {name} and its outbox row", with_row
    if configuration.relay_cursor and world.writing is Writing.OPEN:
        overtaken = world._replace(writing=Writing.OVERTAKEN)
        yield "database: commits a higher outbox id of another's, the relay's cursor passes it", overtaken


def relay(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    """Publishes rows in any order (the real one: in that of their ids), a heartbeat any time after it has read it."""
    unpublished, log, left = world.unpublished, world.log, world.left
    if configuration.heartbeat is not Heartbeat.NONE and world.heartbeat is None:
        as_of = world.newest
        if unpublished and configuration.heartbeat is Heartbeat.OLDEST_UNPUBLISHED:
            as_of = unpublished[0] - 1
        yield f"relay: reads {as_of} as the time of a heartbeat", world._replace(heartbeat=as_of)
    if len(log) >= configuration.log_size:
        return
    for number, version in enumerate(unpublished):
        sent = (*log, Record(Kind.EVENT, version))
        marked = unpublished[:number] + unpublished[number + 1 :]
        yield f"relay: publishes v{version}", world._replace(log=sent, unpublished=marked)
        if left.duplicate:
            again = world._replace(log=sent, left=left._replace(duplicate=left.duplicate - 1))
            yield f"relay: publishes v{version} and dies before it marks the row", again
        if left.parked:
            bare = (*log, Record(Kind.BARE, 0)) if configuration.parked_evicts else log
            instead = "sends a bare eviction" if configuration.parked_evicts else "sends nothing in its place"
            parked = world._replace(log=bare, unpublished=marked, left=left._replace(parked=left.parked - 1))
            yield f"relay: cannot send v{version}, parks it, {instead}", parked
    if world.heartbeat is not None:
        sent = (*log, Record(Kind.HEARTBEAT, world.heartbeat))
        yield f"relay: publishes the heartbeat as of {world.heartbeat}", world._replace(log=sent, heartbeat=None)


def foreign(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    if world.unannounced and len(world.log) < configuration.log_size:
        announced = (*world.log, Record(Kind.BARE, 0))
        yield "foreign: publishes", world._replace(log=announced, unannounced=world.unannounced - 1)
    if not world.left.foreign or world.newest == configuration.versions:
        return
    left = world.left._replace(foreign=world.left.foreign - 1)
    committed = _committed(configuration, world)._replace(left=left)
    yield f"foreign: commits v{committed.newest}", committed._replace(unannounced=world.unannounced + 1)
    if left.unannounced:
        died = committed._replace(left=left._replace(unannounced=left.unannounced - 1))
        yield f"foreign: commits v{committed.newest} and dies before it publishes", died


def _committed(configuration: Configuration, world: World) -> World:
    newest = world.newest + 1
    shown = world.shown if configuration.lagging_source else newest
    return world._replace(newest=newest, shown=shown, writing=Writing.NONE)
