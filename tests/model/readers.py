"""What the licensing service's lookups do: lease, ask the organization service, fill. A hit is no step."""

from collections.abc import Iterator

from tests.model.configuration import AsOf, Configuration
from tests.model.protocol import Filled
from tests.model.world import FRESH, IDLE, IDLE_READER, Reader, World, Writing


def readers(configuration: Configuration, world: World) -> Iterator[tuple[str, World]]:
    for number, reader in enumerate(world.readers):
        if number and reader == world.readers[number - 1]:
            continue  # readers in the same state do the same
        name = "reader" if len(world.readers) == 1 else f"reader {number + 1}"
        others = world.readers[:number], world.readers[number + 1 :]
        for step, after, reader_after in _reader(configuration, world, reader):
            yield f"{name}: {step}", after._replace(readers=(*others[0], reader_after, *others[1]))


def _reader(configuration: Configuration, world: World, reader: Reader) -> Iterator[tuple[str, World, Reader]]:
    rules = configuration.rules
    if reader.token == IDLE:
        if configuration.refetch or not rules.is_fresh(world.cache):
            cache, granted = rules.lease(world.cache, FRESH)
            if granted:
                yield "begins to ask", world._replace(cache=cache), Reader(FRESH, None, 0)
    elif reader.version is None:
        version, as_of = _answer(configuration, world)
        yield f"is answered v{version}", world, reader._replace(version=version, as_of=as_of)
    else:
        as_of = world.newest if configuration.as_of is AsOf.FILL else reader.as_of
        cache, filled = rules.fill(world.cache, reader.token, reader.version, as_of)
        outcome = f"fills in v{reader.version}" if filled is Filled.FILLED else filled.value
        yield outcome, world._replace(cache=cache), IDLE_READER


def _answer(configuration: Configuration, world: World) -> tuple[int, int]:
    """The version and the time that an answer of this moment carries.

    A question begins and is answered in one step: the time it was begun is then the latest that it can be, and promises
    the most.
    """
    version = world.shown
    if configuration.absent_by_clock and version == 0 and world.writing is not Writing.NONE:
        version = world.newest + 2  # the clock has passed the version, newest + 1, that the write has taken
    return version, world.shown if configuration.as_of is AsOf.SOURCE else world.newest
