"""What the keys hold, and how to read it.

entry      V|version|epoch|as_of|payload   a value: what the origin answered when asked at `as_of`
           V|version|epoch|as_of~representation|payload   the same, where the cache names a representation
           A|version|epoch|as_of|          it answered that there is none; the version is its clock
           T|version                       a floor: no value, and none below this version may be filled in
watermark  epoch|offset|as_of              every record up to `offset` is applied, so every commit before `as_of` is too
settings   fingerprint|seen_ms|json        the settings of the workers, and when one of them was there

Versions are microseconds or counters up to 2**53 (exact in Lua's doubles); `as_of` is milliseconds since the Unix
epoch; an epoch is "" in what was leased without a watermark, else the fingerprint of the worker's settings, a dot and a
random number. The payload may hold anything, "|" included.

A representation names the shape of the payload, so that two versions of a service can share the keys: each reads what
has its own representation, and takes any other value for a miss. It stands behind `as_of` and not in the payload
because a reader that knows nothing of representations then finds no number there, which is a miss too; from the payload
it would serve bytes of a shape that it doesn't know. The scripts read the kind and the version only, so evictions reach
values of every representation.
"""

import re
from dataclasses import dataclass

from event_stream.errors import ConfigurationError, ConversionError
from event_stream.fenced_cache.keys import is_id

MAX_VERSION = 2**53
_REPRESENTATION = re.compile(rb"[A-Za-z0-9._-]{0,64}")


def checked_version(version: int) -> int:
    """The version, if Lua can compare it exactly."""
    if not 0 <= version <= MAX_VERSION:
        raise ValueError(f"a version must be between 0 and 2**53, not {version}")
    return version


def checked_representation(name: bytes) -> bytes:
    """The name of a representation, if an entry can hold it; b"" stands for a payload of any shape."""
    if not _REPRESENTATION.fullmatch(name):
        raise ConfigurationError(
            f"representation is {name!r}; it should be at most 64 letters, digits, '.', '_' and '-'"
        )
    return name


@dataclass(frozen=True, slots=True)
class Value:
    """`payload` is None where the origin answered that there is nothing under this id."""

    version: int
    epoch: bytes
    as_of_ms: int
    payload: bytes | None
    representation: bytes = b""

    def readable_as(self, representation: bytes) -> bool:
        """Whether a reader of this representation understands the payload. An absence has no shape."""
        return self.payload is None or self.representation == representation

    def fresh_at_ms(self, watermark: "Watermark | None") -> int:
        """When the value is proven to have been current: when it was asked for, or what the log says since."""
        if watermark is not None and self.epoch == watermark.epoch:
            return max(self.as_of_ms, watermark.as_of_ms)
        return self.as_of_ms


@dataclass(frozen=True, slots=True)
class Tombstone:
    version: int


@dataclass(frozen=True, slots=True)
class Watermark:
    epoch: bytes
    offset: int
    as_of_ms: int


def parse_entry(raw: bytes | None) -> Value | Tombstone | None:
    """None for no entry, and for bytes that none of our scripts wrote: the next fill puts that right."""
    if raw is None:
        return None
    kind, _, rest = raw.partition(b"|")
    try:
        if kind == b"T":
            return Tombstone(int(rest))
        if kind in {b"V", b"A"}:
            version, epoch, as_of, payload = rest.split(b"|", 3)
            as_of, _, representation = as_of.partition(b"~")
            return Value(int(version), epoch, int(as_of), payload if kind == b"V" else None, representation)
    except ValueError:
        return None
    return None


def parse_watermark(raw: bytes | None) -> Watermark | None:
    """None for no watermark, and for bytes that are none: the next batch begins a new epoch."""
    if raw is None:
        return None
    try:
        epoch, offset, as_of = raw.split(b"|")
        return Watermark(epoch, int(offset), int(as_of)) if epoch else None
    except ValueError:
        return None


# What a record tells an applier.


@dataclass(frozen=True, slots=True)
class Change:
    """Something under this id was made, changed or removed.

    `version` is from 0 to 2**53, None where the producer knows none. `occurred_at_ms` is since the Unix epoch, by the
    producer's clock.
    """

    id: str
    version: int | None = None
    correlation_id: str | None = None
    occurred_at_ms: int | None = None

    def __post_init__(self) -> None:
        if not is_id(self.id):
            raise ConversionError(f"the id should be 1 to 128 visible characters, not {self.id[:200]!r}")
        try:
            if self.version is not None:
                checked_version(self.version)
        except ValueError as error:
            raise ConversionError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Every change committed before `as_of_ms` (since the Unix epoch) lies in the partition before this record."""

    as_of_ms: int
