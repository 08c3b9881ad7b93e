"""Dead letters by group and by filter, and settling any number of them in the background.

A group is a fingerprint: the class of the error, the innermost frame of the application's own code, and the binding.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from django.db import connections
from django.utils import timezone

from event_stream.conf import Binding
from event_stream.dead_letters import dead_letter_channel
from event_stream.dead_letters.log import OpenLetter, dead_letter_log, shown_key
from event_stream.dead_letters.models import parking_bindings
from event_stream.dead_letters.record import Origin
from event_stream.dead_letters.replay import ReplayService
from event_stream.errors import UnavailableError
from event_stream.messaging.channel import Channel, registry
from event_stream.operations.actions import log_action
from event_stream.operations.models import Settlement
from event_stream.operations.processes import moment

logger = logging.getLogger("event_stream.operations")

Verb = Literal["replay", "discard"]
DONE: Mapping[str, str] = {"replay": "replayed", "discard": "discarded"}
_PROGRESS_S = 0.5
_CLOSE_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Letter:
    """An open dead letter of a binding."""

    binding: Binding
    open_letter: OpenLetter

    @property
    def id(self) -> str:
        return f"{self.binding.name}:{self.open_letter.letter.origin}"

    @property
    def key(self) -> str:
        return shown_key(self.open_letter.letter.key)

    @property
    def parked_at(self) -> datetime:
        return moment(self.open_letter.letter.parked_at_ms)

    @property
    def problem(self) -> str:
        summary = self.open_letter.letter
        return f"{summary.error}: {summary.reason}"

    @property
    def group(self) -> str:
        """The fingerprint, short enough for a URL."""
        summary = self.open_letter.letter
        text = "\n".join((self.binding.name, summary.error, summary.frame))
        return hashlib.sha256(text.encode(errors="backslashreplace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Group:
    fingerprint: str
    binding: Binding
    error: str
    frame: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    """The text of the latest one's error."""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters: all that is given has to hold. `through_ms` leaves out what was parked later."""

    binding: str = ""
    text: str = ""
    """Words, each in the id, the key or the error."""
    group: str = ""
    id: str = ""
    through_ms: int | None = None

    def of(self, letters: Iterable[Letter]) -> list[Letter]:
        return [letter for letter in letters if self._takes(letter)]

    def _takes(self, letter: Letter) -> bool:
        searched = f"{letter.id} {letter.key} {letter.problem}".lower()
        return (
            self.binding in {"", letter.binding.name}
            and self.group in {"", letter.group}
            and self.id in {"", letter.id}
            and all(word in searched for word in self.text.lower().split())
            and (self.through_ms is None or letter.open_letter.letter.parked_at_ms <= self.through_ms)
        )

    def __str__(self) -> str:
        if self.id:
            return f"dead letter {self.id}"
        parts = [f"of {self.binding}" if self.binding else "", f"with {self.text!r}" if self.text else ""]
        parts.append(f"of the group {self.group}" if self.group else "")
        return " ".join(["dead letters", *filter(None, parts)])


@dataclass(frozen=True, slots=True)
class OpenLetters:
    """What the platform holds, in the order of each key; `unreadable` says why a destination could not be read."""

    letters: Sequence[Letter] = ()
    unreadable: Sequence[str] = ()


def open_letters() -> OpenLetters:
    letters: list[Letter] = []
    unreadable: list[str] = []
    for binding in parking_bindings():
        channel = dead_letter_channel(binding)
        try:
            letters += [Letter(binding, open_letter) for open_letter in dead_letter_log(channel.read()).letters]
        except UnavailableError as error:
            unreadable.append(f"{channel.binding.destination} can't be read: {error}")
    return OpenLetters(letters, unreadable)


def groups(letters: Iterable[Letter]) -> list[Group]:
    """The largest first."""
    by_fingerprint: dict[str, list[Letter]] = {}
    for letter in letters:
        by_fingerprint.setdefault(letter.group, []).append(letter)
    found = [_group(fingerprint, members) for fingerprint, members in by_fingerprint.items()]
    return sorted(found, key=lambda group: (-group.count, group.first_at))


def _group(fingerprint: str, members: Sequence[Letter]) -> Group:
    first = min(members, key=lambda letter: letter.open_letter.letter.parked_at_ms)
    last = max(members, key=lambda letter: letter.open_letter.letter.parked_at_ms)
    summary = last.open_letter.letter
    return Group(
        fingerprint,
        last.binding,
        summary.error,
        summary.frame,
        len(members),
        first.parked_at,
        last.parked_at,
        summary.reason,
    )


@dataclass(frozen=True, slots=True)
class Order:
    """What the order of keys means for a choice of letters.

    `held` of the chosen would stay, behind a letter of their key that came earlier and is not chosen. `behind` are
    not chosen, and came after a chosen one of their key: they stay parked.
    """

    held: int
    behind: int


def order(chosen: Sequence[Letter], every: Iterable[Letter]) -> Order:
    picked = {letter.id for letter in chosen}
    first_left: dict[tuple[str, bytes], Origin] = {}
    first_chosen: dict[tuple[str, bytes], Origin] = {}
    rest: list[tuple[tuple[str, bytes], Letter]] = []
    for letter in every:
        key = letter.open_letter.letter.key
        if key is None or not letter.open_letter.letter.ordered:
            continue
        place = (letter.binding.name, key)
        if letter.id in picked:
            first_chosen.setdefault(place, letter.open_letter.letter.origin)
        else:
            first_left.setdefault(place, letter.open_letter.letter.origin)
            rest.append((place, letter))
    held = sum(
        letter.open_letter.letter.key is not None
        and letter.open_letter.letter.ordered
        and (left := first_left.get((letter.binding.name, letter.open_letter.letter.key))) is not None
        and left < letter.open_letter.letter.origin
        for letter in chosen
    )
    behind = sum(
        place in first_chosen and first_chosen[place] < letter.open_letter.letter.origin for place, letter in rest
    )
    return Order(held, behind)


@dataclass(slots=True)
class _Work:
    """A settlement on its thread."""

    settlement: Settlement
    wanted: LetterFilter
    user_id: int
    edited: Mapping[Origin, bytes] = field(default_factory=dict)
    _written_s: float = 0.0

    def run(self) -> None:
        try:
            for binding in parking_bindings():
                if self.wanted.binding in {"", binding.name}:
                    self._settle(binding)
        except UnavailableError as error:
            self._leave(f"The platform does not answer, and the rest is left: {error}")
        except Exception as error:
            logger.exception("operations.settlement_failed")
            self._leave(f"It broke off, and the rest is left: {type(error).__name__}; see the log.")
        finally:
            self.settlement.finished_at = timezone.now()
            self.settlement.save()
            self._log()
            connections.close_all()

    def _settle(self, binding: Binding) -> None:
        # Channels of their own: a web process keeps no connection for what is done once in a while.
        source, parked = Channel(binding, registry().binder(binding.binder)), dead_letter_channel(binding)
        try:
            every = dead_letter_log(parked.read()).letters
            chosen = self.wanted.of(Letter(binding, open_letter) for open_letter in every)
            letters = [letter.open_letter for letter in chosen]
            service = ReplayService(source, parked)
            if self.settlement.verb == "replay":
                results = service.replay(letters, every, edited=self.edited)
            else:
                results = service.discard(letters)
            for result in results:
                if result.problem is None:
                    self.settlement.done += 1
                else:
                    self.settlement.left += 1
                    self._leave(f"{result.open_letter.letter.origin} is left: {result.problem}")
                self._write()
        finally:
            source.close(_CLOSE_TIMEOUT_S)
            parked.close(_CLOSE_TIMEOUT_S)

    def _leave(self, problem: str) -> None:
        self.settlement.problem = self.settlement.problem or problem

    def _write(self) -> None:
        now_s = time.monotonic()
        if now_s - self._written_s >= _PROGRESS_S:
            self._written_s = now_s
            self.settlement.save()

    def _log(self) -> None:
        settlement = self.settlement
        edited = " with an edited body" if self.edited else ""
        left = f"; {settlement.total - settlement.done:,} left" if settlement.done < settlement.total else ""
        text = f"{DONE[settlement.verb].capitalize()}{edited}: {settlement.done:,}{left}."
        log_action(self.user_id, settlement.description[:200], text)


def settle(
    verb: Verb, wanted: LetterFilter, total: int, *, user_id: int, wait_s: float, edited: bytes | None = None
) -> Settlement:
    """Begin on a thread; return after `wait_s`, or sooner where it is done. What it does goes on without the caller."""
    settlement = Settlement.objects.create(verb=verb, description=str(wanted)[:300], total=total)
    origin = wanted.id.rpartition(":")[2]
    work = _Work(settlement, wanted, user_id, {} if edited is None else {Origin.parse(origin): edited})
    thread = threading.Thread(target=work.run, name="dead-letter-settlement", daemon=True)
    thread.start()
    thread.join(wait_s)
    # One of the caller's own: the thread goes on counting in the other.
    return Settlement.objects.get(pk=settlement.pk)


def settlements() -> Iterator[Settlement]:
    """The latest."""
    yield from Settlement.objects.all()[:5]
