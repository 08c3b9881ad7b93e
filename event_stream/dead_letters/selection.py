"""Which letters a command is about."""

from collections.abc import Sequence
from dataclasses import dataclass

from event_stream.dead_letters.journal import OpenLetter


@dataclass(frozen=True, slots=True)
class Selection:
    """All that is given has to hold; nothing given selects every letter. Times are ms since the epoch."""

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
        return [each for each in letters if self._takes(each)]

    @property
    def is_everything(self) -> bool:
        return self == Selection()

    def _takes(self, each: OpenLetter) -> bool:
        letter = each.letter
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
    return "-" if key is None else key.decode(errors="backslashreplace")
