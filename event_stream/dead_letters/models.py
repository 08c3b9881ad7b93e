"""A dead letter as the admin needs it: no table stands behind it, only its permissions are in the database."""

import enum
from collections.abc import Iterator

from django.db import models

from event_stream.conf import Binding, configuration
from event_stream.dead_letters.log import DeadLetterLog, OpenLetter, shown_key
from event_stream.dead_letters.record import DeadLetterRecord


class State(enum.StrEnum):
    OPEN = "open"
    AWAITED = "awaited"
    """Replayed, and by order of its key not handled yet."""
    SETTLED = "settled"


class DeadLetter(models.Model):
    """Made of what was read from the platform. Its key is `<binding>:<id>`, the id as the command shows it."""

    pk_text = models.CharField("id", primary_key=True, max_length=300)

    open_letter: OpenLetter
    whole: DeadLetterRecord | None = None
    """With body, headers and traceback: of the one letter that a page is about, if the platform still has it."""
    binding: str
    state: State

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [("settle_deadletter", "Can replay and discard dead letters")]
        verbose_name = "dead letter"

    def __str__(self) -> str:
        return str(self.open_letter.letter.origin)

    @property
    def key(self) -> str:
        return shown_key(self.open_letter.letter.key)

    def has(self, words: str) -> bool:
        """Whether each of the words is in its id, its key or its error."""
        letter = self.open_letter.letter
        text = f"{letter.origin} {self.key} {letter.error}: {letter.reason}".lower()
        return all(word in text for word in words.lower().split())


def parking_bindings() -> list[Binding]:
    """Those whose dead letters are kept."""
    return [binding for binding in configuration().bindings.values() if binding.consumer.dead_letters]


def letters_in(binding: Binding, log: DeadLetterLog) -> Iterator[DeadLetter]:
    """All that the journal has, the newest first."""
    awaited = {open_letter.letter.origin for open_letter in log.awaited}
    everything = [(open_letter, State.OPEN) for open_letter in log.letters] + [
        (open_letter, State.AWAITED if open_letter.letter.origin in awaited else State.SETTLED)
        for open_letter in log.settled
    ]
    for open_letter, state in sorted(everything, key=lambda item: item[0].letter.parked_at_ms, reverse=True):
        row = DeadLetter(pk_text=f"{binding.name}:{open_letter.letter.origin}")
        row.open_letter, row.binding, row.state = open_letter, binding.name, state
        yield row
