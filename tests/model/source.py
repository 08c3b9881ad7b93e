"""What the organization service does: writes, the relay of its outbox, and a foreign producer on the same topic."""

from collections.abc import Iterator

from tests.model.configuration import Configuration, Heartbeat
from tests.model.world import Kind, Record, World, Writing


def database(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    version = world.newest + 1
    if world.newest < configuration.versions:
        row = (*world.unpublished, version)
        if not configuration.slow_writes:
            yield (
                f"database: commits v{version} and its outbox row",
                _commit(configuration, world)._replace(unpublished=row),
            )
        elif world.writing is Writing.NONE:
            yield (
                f"database: v{version} is written, with its outbox row, not committed",
                world._replace(writing=Writing.OPEN),
            )
        elif world.writing is Writing.OPEN:
            yield (
                f"database: commits v{version} and its outbox row",
                _commit(configuration, world)._replace(unpublished=row),
            )
            if configuration.relay_cursor:
                overtaken = world._replace(writing=Writing.OVERTAKEN)
                yield (
                    "database: another transaction commits a higher outbox id, the relay's cursor passes it",
                    overtaken,
                )
        else:
            yield (
                f"database: commits v{version}, whose outbox id is below the relay's cursor",
                _commit(configuration, world),
            )
        if world.left.foreign and world.writing is Writing.NONE:
            left = world.left._replace(foreign=world.left.foreign - 1)
            foreign = _commit(configuration, world)._replace(left=left)
            yield f"foreign producer: commits v{version}", foreign._replace(unannounced=world.unannounced + 1)
            if world.left.unannounced:
                left = left._replace(unannounced=world.left.unannounced - 1)
                yield (
                    f"foreign producer: commits v{version} and dies before it announces that",
                    foreign._replace(left=left),
                )
    if world.shown < world.newest:
        yield f"source: catches up to v{world.shown + 1}", world._replace(shown=world.shown + 1)


def _commit(configuration: Configuration, world: World) -> World:
    newest = world.newest + 1
    shown = world.shown if configuration.lagging_source else newest
    return world._replace(newest=newest, shown=shown, writing=Writing.NONE)


def relay(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    """Publishes rows in any order (more than the real one does), and heartbeats whenever it likes after it has read
    their time.
    """
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
    if world.unannounced:
        announced = world._replace(log=(*log, Record(Kind.BARE, 0)), unannounced=world.unannounced - 1)
        yield "foreign producer: publishes, without a version", announced
