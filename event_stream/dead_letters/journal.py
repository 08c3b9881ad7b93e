"""What a dead-letter destination holds: a journal of letters parked and letters settled, read from its start.

A letter is open until a mark settles every copy of it. One that was replayed and failed again lies after its mark, and
is open again. Nothing else is kept anywhere: the journal is as durable as the letters themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from event_stream.dead_letters.letter import Letter, Mark, Origin, read
from event_stream.errors import ConversionError
from event_stream.message import Record


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """`partition` and `offset` are those of its newest copy in the dead-letter destination."""

    letter: Letter
    partition: int
    offset: int


@dataclass(slots=True)
class Journal:
    """`foreign` counts the records that are neither letter nor mark: somebody else's."""

    letters: list[OpenLetter] = field(default_factory=list)
    awaited: list[OpenLetter] = field(default_factory=list)
    """Those whose order matters and that were replayed, but not handled yet; `settled` has them, too."""
    settled: list[OpenLetter] = field(default_factory=list)
    """Those that are open no longer, for as long as the destination keeps them."""
    foreign: int = 0


def journal(records: Iterable[Record]) -> Journal:
    """The open letters, those of one partition in the order of their origins, which is the order of each key."""
    result = Journal()
    newest: dict[Origin, OpenLetter] = {}
    settled_to: dict[Origin, int] = {}
    handled_to: dict[Origin, int] = {}
    for record in records:
        try:
            found = read(record)
        except ConversionError:
            result.foreign += 1
            continue
        if isinstance(found, Mark):
            settled_to[found.origin] = max(found.settles, settled_to.get(found.origin, -1))
            if found.kind != "replayed":
                handled_to[found.origin] = max(found.settles, handled_to.get(found.origin, -1))
        else:
            newest[found.origin] = OpenLetter(found, record.partition, record.offset)
    for origin in sorted(newest):
        if newest[origin].offset > settled_to.get(origin, -1):
            result.letters.append(newest[origin])
        else:
            result.settled.append(newest[origin])
            if newest[origin].letter.ordered and newest[origin].offset > handled_to.get(origin, -1):
                result.awaited.append(newest[origin])
    return result
