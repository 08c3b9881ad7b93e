"""Replays and discards letters. Whatever is settled is marked in the journal, and never settled again."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from event_stream import signals
from event_stream.dead_letters.log import OpenLetter, whole_letters
from event_stream.dead_letters.record import (
    DeadLetterRecord,
    Origin,
    Resolution,
    ResolutionKind,
    as_replay,
    mark_record,
)
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.channel import Channel
from event_stream.messaging.message import RecordMetadata


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a letter; `problem` says why it is still open."""

    open_letter: OpenLetter
    problem: str | None = None


class ReplayService:
    """`source` leads to where the letters came from, `parked` to the dead-letter destination."""

    def __init__(self, source: Channel, parked: Channel) -> None:
        self._source = source
        self._parked = parked

    def replay(
        self,
        letters: Sequence[OpenLetter],
        among: Sequence[OpenLetter] = (),
        *,
        edited: Mapping[Origin, bytes] | None = None,
    ) -> Iterator[ReplayResult]:
        """Send each message back, one after another, each acknowledged and marked before the next.

        For a key whose message could not be sent, none that comes after it is. Where the order of a key matters, one
        that comes after an open letter `among` all of them waits for that to be replayed or discarded. Killed between
        the two, it sends that one message again the next time. Bodies are read from `parked` a batch at a time; those
        of `edited` are sent in their place.
        Raises UnavailableError where the platform doesn't answer.
        """
        partitions = self._source.partition_count()
        stuck: set[bytes] = set()
        chosen = {open_letter.letter.origin for open_letter in letters}
        first_left: dict[bytes | None, Origin] = {}
        for open_letter in among:
            if open_letter.letter.origin not in chosen:
                first_left.setdefault(open_letter.letter.key, open_letter.letter.origin)
        for open_letter, whole in whole_letters(self._parked.read, letters):
            key = open_letter.letter.key
            if key is not None and key in stuck:
                yield ReplayResult(open_letter, "an earlier message of its key could not be replayed")
                continue
            left = first_left.get(key) if key is not None and open_letter.letter.ordered else None
            if left is not None and left < open_letter.letter.origin:
                yield ReplayResult(open_letter, f"{left} of the same key came before it and is still parked")
                continue
            body = (edited or {}).get(open_letter.letter.origin)
            if whole is not None and body is not None:
                whole = dataclasses.replace(whole, value=body, omitted=False)  # noqa: PLW2901 - the same letter
            sent = self._send_back(whole, partitions)
            if isinstance(sent, RecordMetadata):
                self._mark("replayed", open_letter, sent)
                yield ReplayResult(open_letter)
                continue
            if key is not None:
                stuck.add(key)
            yield ReplayResult(open_letter, sent)

    def discard(self, letters: Sequence[OpenLetter]) -> Iterator[ReplayResult]:
        """Mark each as dealt with. Raises UnavailableError."""
        for open_letter in letters:
            self._mark("discarded", open_letter, None)
            yield ReplayResult(open_letter)

    def _send_back(self, letter: DeadLetterRecord | None, partitions: int) -> RecordMetadata | str:
        """Return where the message lies now, or why it was not sent."""
        if letter is None:
            return f"{self._parked.binding.destination} no longer has it"
        if letter.omitted:
            return f"its body was too large to be parked; it may still be in {letter.destination} at {letter.origin}"
        if letter.key is None and letter.value is None:
            return "it has neither key nor body, which no producer sends"
        record = as_replay(letter)
        if letter.origin.partition >= partitions:
            record = dataclasses.replace(record, partition=None)
        try:
            return self._source.publish(record).result()
        except UnsendableError as error:
            return str(error)
        except PublishError as error:
            raise UnavailableError(str(error)) from error

    def _mark(self, kind: ResolutionKind, open_letter: OpenLetter, receipt: RecordMetadata | None) -> None:
        mark = Resolution(kind, open_letter.letter.origin, open_letter.offset)
        try:
            self._parked.publish(mark_record(mark, self._parked.binding.destination, open_letter.partition)).result()
        except PublishError as error:
            raise UnavailableError(f"{open_letter.letter.origin} could not be marked as {kind}: {error}") from error
        signals.letter_settled.send_robust(None, letter=open_letter.letter, receipt=receipt)
