"""A dead letter, and how it lies on the platform.

The record in the dead-letter destination has the key, the body and the headers of the message as they were, and these
headers of its own (UTF-8 text):

dead-letter-id            <partition>-<offset>-<timestamp>: where the message lay when it failed first, in ms
dead-letter-destination   where it came from
dead-letter-group         who could not handle it
dead-letter-error         class of the error
dead-letter-reason        its text, bounded
dead-letter-traceback     its traceback, the last of it if it is long
dead-letter-attempts      how often it was tried
dead-letter-at            when it was parked, in ms since the epoch
dead-letter-ordered       "yes" if the order of its key matters; otherwise not there
dead-letter-body          only if the body is not what it was: "null" or "omitted" (too large to be parked)

A mark is a record in the same partition that settles letters:

dead-letter-mark          "replayed", "discarded", or "handled": a replay was, where the order of its key matters
dead-letter-id            of which letter
dead-letter-settles       the offset up to which copies of it are settled: one that failed again lies after that
"""

import re
import traceback
from dataclasses import dataclass, fields
from typing import Literal, cast, get_args

from event_stream.errors import ConversionError
from event_stream.messaging import headers
from event_stream.messaging.message import ConsumerRecord, ProducerRecord

PREFIX = "dead-letter-"
_ID, _MARK, _SETTLES = "id", "mark", "settles"
_GROUP = headers.REPLAYED_FOR.removeprefix(PREFIX)
_MAX_REASON = 1_000
_MAX_TRACEBACK = 8_000
_FRAME = re.compile(r'^ *File "([^"\n]+)", line \d+, in (\S+)', re.MULTILINE)
_FOREIGN_CODE = re.compile(r"(^|/)(site-packages|dist-packages|event_stream)/|/lib/python\d|^<")
_ORIGIN = re.compile(r"(\d{1,9})-(\d{1,19})-(-?\d{1,19})", re.ASCII)

Headers = tuple[tuple[str, bytes], ...]
ResolutionKind = Literal["replayed", "discarded", "handled"]


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """Where a message lay when it failed first. It stays the same when a replayed message fails again."""

    partition: int
    offset: int
    timestamp_ms: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}-{self.timestamp_ms}"

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Raises ConversionError."""
        match = _ORIGIN.fullmatch(text)
        if match is None:
            raise ConversionError(f"{text[:80]!r} should be <partition>-<offset>-<timestamp>")
        return cls(*map(int, match.groups()))


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSummary:
    """A message that `group` could not handle, without its body, headers and traceback, so that many fit in memory."""

    origin: Origin
    destination: str
    group: str
    key: bytes | None
    error: str
    reason: str
    attempts: int
    parked_at_ms: int
    omitted: bool = False
    ordered: bool = False
    frame: str = ""
    """Where it failed: the innermost frame of the application's own code, as `file:function`; "" if there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterRecord(DeadLetterSummary):
    """A message that `group` could not handle. `value` is None for a null body, and for one that was `omitted`."""

    value: bytes | None
    headers: Headers
    traceback: str

    @property
    def summary(self) -> DeadLetterSummary:
        return DeadLetterSummary(**{field.name: getattr(self, field.name) for field in fields(DeadLetterSummary)})


@dataclass(frozen=True, slots=True)
class Resolution:
    """The copies of a letter up to the offset `settles` of its partition are dealt with."""

    kind: ResolutionKind
    origin: Origin
    settles: int


def letter_for(
    record: ConsumerRecord, error: Exception, *, group: str, attempts: int, now_ms: int, ordered: bool = False
) -> DeadLetterRecord:
    """What is kept of a record that this error came of."""
    text = "".join(traceback.format_exception(error))[-_MAX_TRACEBACK:]
    return DeadLetterRecord(
        origin=origin_of(record, group),
        destination=record.destination,
        group=group,
        key=record.key,
        value=record.value,
        headers=_foreign(record.headers),
        error=f"{type(error).__module__}.{type(error).__qualname__}",
        reason=str(error)[:_MAX_REASON],
        traceback=text,
        frame=own_frame(text),
        attempts=attempts,
        parked_at_ms=now_ms,
        ordered=ordered,
    )


def own_frame(text: str) -> str:
    """Return the last frame of a traceback that is neither of a library nor of this package, without its line."""
    frames = [(path, function) for path, function in _FRAME.findall(text) if not _FOREIGN_CODE.search(path)]
    if not frames:
        return ""
    path, function = frames[-1]
    return f"{'/'.join(path.split('/')[-2:])}:{function}"


def origin_of(record: ConsumerRecord, group: str) -> Origin:
    """Its own place, or that of the letter of this group of which it is a replay."""
    own = _own(record.headers)
    if own.get(_GROUP) == group and (match := _ORIGIN.fullmatch(own.get(_ID, ""))):
        return Origin(*map(int, match.groups()))
    return Origin(record.partition, record.offset, record.timestamp_ms)


def as_record(letter: DeadLetterRecord, destination: str, partition: int) -> ProducerRecord:
    """The letter as it is parked."""
    about = {
        _ID: str(letter.origin),
        "destination": letter.destination,
        _GROUP: letter.group,
        "error": letter.error,
        "reason": letter.reason,
        "traceback": letter.traceback,
        "attempts": str(letter.attempts),
        "at": str(letter.parked_at_ms),
    }
    if letter.ordered:
        about["ordered"] = "yes"
    if letter.value is None:
        about["body"] = "omitted" if letter.omitted else "null"
    return ProducerRecord(destination, letter.key, letter.value or b"", letter.headers + _written(about), partition)


def as_replay(letter: DeadLetterRecord) -> ProducerRecord:
    """The message as it was, back to where it came from, for its group alone."""
    about = {_ID: str(letter.origin), _GROUP: letter.group}
    partition = letter.origin.partition
    return ProducerRecord(letter.destination, letter.key, letter.value, letter.headers + _written(about), partition)


def mark_record(mark: Resolution, destination: str, partition: int) -> ProducerRecord:
    about = {_MARK: mark.kind, _ID: str(mark.origin), _SETTLES: str(mark.settles)}
    return ProducerRecord(destination, None, b"", _written(about), partition)


def read(record: ConsumerRecord) -> DeadLetterRecord | Resolution:
    """What a record of the dead-letter destination says. Raises ConversionError for anything else."""
    own = _own(record.headers)
    try:
        origin = Origin.parse(own[_ID])
        if _MARK in own:
            if own[_MARK] not in get_args(ResolutionKind):
                raise ConversionError(f"a mark of an unknown kind: {own[_MARK][:80]!r}")
            return Resolution(cast(ResolutionKind, own[_MARK]), origin, int(own[_SETTLES]))
        return DeadLetterRecord(
            origin=origin,
            destination=own["destination"],
            group=own[_GROUP],
            key=record.key,
            value=None if "body" in own else record.value,
            headers=_foreign(record.headers),
            error=own["error"],
            reason=own["reason"],
            traceback=own["traceback"],
            frame=own_frame(own["traceback"]),
            attempts=int(own["attempts"]),
            parked_at_ms=int(own["at"]),
            omitted=own.get("body") == "omitted",
            ordered=own.get("ordered") == "yes",
        )
    except (KeyError, ValueError) as error:
        raise ConversionError(f"no dead letter: {error!r}") from error


def _own(headers: Headers) -> dict[str, str]:
    return {
        name.removeprefix(PREFIX): value.decode(errors="backslashreplace")
        for name, value in headers
        if name.startswith(PREFIX)
    }


def _foreign(headers: Headers) -> Headers:
    return tuple(header for header in headers if not header[0].startswith(PREFIX))


def _written(about: dict[str, str]) -> Headers:
    # An error may quote anything, lone surrogates too.
    return tuple((PREFIX + name, text.encode(errors="backslashreplace")) for name, text in about.items())
