"""A dead letter as the admin needs it: no table stands behind it, only its permissions are in the database."""

import enum
from collections.abc import Iterator
from typing import Any

from django.db import models

from event_stream.conf import Binding, configuration
from event_stream.dead_letters.log import DeadLetterLog, OpenLetter, as_dict, shown_key


class State(enum.StrEnum):
    OPEN = "open"
    AWAITED = "awaited"
    """Replayed, and by order of its key not handled yet."""
    SETTLED = "settled"


class DeadLetter(models.Model):
    """Made of what was read from the platform. Its key is `<binding>:<id>`, the id as the command shows it."""

    pk_text = models.CharField("id", primary_key=True, max_length=300)

    each: OpenLetter
    binding: str
    state: State

    class Meta:
        managed = False
        default_permissions = ("view",)
        permissions = [("settle_deadletter", "Can replay and discard dead letters")]
        verbose_name = "dead letter"

    def __str__(self) -> str:
        return str(self.each.letter.origin)

    @property
    def as_dict(self) -> dict[str, Any]:
        return as_dict(self.each)

    def has(self, words: str) -> bool:
        """Whether each of the words is in its id, its key or its error."""
        letter = self.each.letter
        text = f"{letter.origin} {shown_key(letter.key)} {letter.error}: {letter.reason}".lower()
        return all(word in text for word in words.lower().split())


def parking_bindings() -> list[Binding]:
    """Those whose dead letters are kept."""
    return [each for each in configuration().bindings.values() if each.consumer.dead_letters]


def letters_in(binding: Binding, found: DeadLetterLog) -> Iterator[DeadLetter]:
    """All that the journal has, the newest first."""
    awaited = {each.letter.origin for each in found.awaited}
    everything = [(each, State.OPEN) for each in found.letters] + [
        (each, State.AWAITED if each.letter.origin in awaited else State.SETTLED) for each in found.settled
    ]
    for each, state in sorted(everything, key=lambda item: item[0].letter.parked_at_ms, reverse=True):
        made = DeadLetter(pk_text=f"{binding.name}:{each.letter.origin}")
        made.each, made.binding, made.state = each, binding.name, state
        yield made
