"""What a dead-letter destination holds: a journal of letters parked and letters settled, read from its start.

A letter is open until a mark settles every copy of it. One that was replayed and failed again lies after its mark, and
is open again. Nothing else is kept anywhere: the journal is as durable as the letters themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from event_stream.dead_letters.record import DeadLetterRecord, DeadLetterSummary, Origin, Resolution, read
from event_stream.errors import ConversionError
from event_stream.messaging.message import ConsumerRecord
from event_stream.terminal import escaped

BATCH_BYTES = 16 * 1024 * 1024
"""How much of bodies and headers is in memory at a time while letters are replayed, or one letter if it is larger."""


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """`partition` and `offset` are those of its newest copy in the dead-letter destination, `size` its bytes there."""

    letter: DeadLetterSummary
    partition: int
    offset: int
    size: int


@dataclass(slots=True)
class DeadLetterLog:
    """`foreign` counts the records that are neither letter nor mark: somebody else's."""

    letters: list[OpenLetter] = field(default_factory=list)
    awaited: list[OpenLetter] = field(default_factory=list)
    """Those whose order matters and that were replayed, but not handled yet; `settled` has them, too."""
    settled: list[OpenLetter] = field(default_factory=list)
    """Those that are open no longer, for as long as the destination keeps them."""
    foreign: int = 0


def dead_letter_log(records: Iterable[ConsumerRecord]) -> DeadLetterLog:
    """The open letters, those of one partition in the order of their origins, which is the order of each key.

    Only summaries stay in memory; `whole_letters` reads the rest of those that are needed.
    """
    result = DeadLetterLog()
    newest: dict[Origin, OpenLetter] = {}
    settled_to: dict[Origin, int] = {}
    handled_to: dict[Origin, int] = {}
    for record in records:
        try:
            entry = read(record)
        except ConversionError:
            result.foreign += 1
            continue
        if isinstance(entry, Resolution):
            settled_to[entry.origin] = max(entry.settles, settled_to.get(entry.origin, -1))
            if entry.kind != "replayed":
                handled_to[entry.origin] = max(entry.settles, handled_to.get(entry.origin, -1))
        else:
            newest[entry.origin] = OpenLetter(entry.summary, record.partition, record.offset, _size(record))
    for origin in sorted(newest):
        if newest[origin].offset > settled_to.get(origin, -1):
            result.letters.append(newest[origin])
        else:
            result.settled.append(newest[origin])
            if newest[origin].letter.ordered and newest[origin].offset > handled_to.get(origin, -1):
                result.awaited.append(newest[origin])
    return result


def _size(record: ConsumerRecord) -> int:
    return len(record.value or b"") + sum(len(name) + len(value) for name, value in record.headers)


def whole_letters(
    read_log: Callable[[], Iterable[ConsumerRecord]], letters: Sequence[OpenLetter]
) -> Iterator[tuple[OpenLetter, DeadLetterRecord | None]]:
    """Each letter with the whole of it, or None where the destination no longer has it.

    The log is read once for each BATCH_BYTES of letters.
    """
    for batch in _batches(letters):
        wanted = {(open_letter.partition, open_letter.offset) for open_letter in batch}
        found: dict[tuple[int, int], DeadLetterRecord] = {}
        for record in read_log():
            place = (record.partition, record.offset)
            if place in wanted and isinstance(entry := read(record), DeadLetterRecord):
                found[place] = entry
                if len(found) == len(wanted):
                    break
        for open_letter in batch:
            yield open_letter, found.get((open_letter.partition, open_letter.offset))


def _batches(letters: Sequence[OpenLetter]) -> Iterator[list[OpenLetter]]:
    batch: list[OpenLetter] = []
    size = 0
    for open_letter in letters:
        if batch and size + open_letter.size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(open_letter)
        size += open_letter.size
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters a command is about.

    All that is given has to hold; nothing given selects every letter. Times are ms since the epoch.
    """

    ids: frozenset[str] = frozenset()
    error: str | None = None
    """A part of the error's class or text, in whatever case."""
    key: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    partition: int | None = None
    offsets: tuple[int, int] | None = None
    """First and last, in the partition where the message failed first."""

    def of(self, letters: Sequence[OpenLetter]) -> list[OpenLetter]:
        return [open_letter for open_letter in letters if self._takes(open_letter)]

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def _takes(self, open_letter: OpenLetter) -> bool:
        letter = open_letter.letter
        return (
            (not self.ids or str(letter.origin) in self.ids)
            and (self.error is None or self.error.lower() in f"{letter.error}: {letter.reason}".lower())
            and (self.key is None or shown_key(letter.key) == self.key)
            and (self.since_ms is None or letter.parked_at_ms >= self.since_ms)
            and (self.until_ms is None or letter.parked_at_ms < self.until_ms)
            and (self.partition is None or letter.origin.partition == self.partition)
            and (self.offsets is None or self.offsets[0] <= letter.origin.offset <= self.offsets[1])
        )


def shown_key(key: bytes | None) -> str:
    """As a person writes it on the command line; "-" for a message without a key."""
    return "-" if key is None else escaped(key.decode(errors="backslashreplace"))


def shown_origin(letter: DeadLetterSummary) -> str:
    return f"{letter.destination}[{letter.origin.partition}] at offset {letter.origin.offset}"


def as_dict(letter: DeadLetterRecord) -> dict[str, Any]:
    """What a person is shown of a dead letter, by name and in the order of interest.

    The values are texts, numbers, None, and the headers as a dict of texts.
    """
    body = None if letter.value is None else letter.value.decode(errors="backslashreplace")
    return {
        "id": str(letter.origin),
        "key": None if letter.key is None else shown_key(letter.key),
        "from": shown_origin(letter),
        "group": letter.group,
        "sent_at": shown_time(letter.origin.timestamp_ms),
        "parked_at": shown_time(letter.parked_at_ms),
        "attempts": letter.attempts,
        "error": letter.error,
        "reason": letter.reason,
        "headers": {name: value.decode(errors="backslashreplace") for name, value in letter.headers},
        "body": "(too large to be parked)" if letter.omitted else body,
        "traceback": letter.traceback,
    }


def shown_time(at_ms: int) -> str:
    """In ISO 8601, of milliseconds since the epoch, which a foreign producer may have made up."""
    try:
        return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"
