"""The values that travel: a Message between applications, a Record on the platform."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Message(Generic[T]):
    """What application code sends and receives. Its key decides what it is ordered with."""

    payload: T
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProducerRecord:
    """A serialized message on its way out. Without a partition the platform places it by its key.

    `value` is None for a tombstone.
    """

    destination: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()
    partition: int | None = None


@dataclass(frozen=True, slots=True)
class RecordMetadata:
    """The platform's acknowledgement: where the message lies."""

    destination: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class ConsumerRecord:
    """A message as it lies on the platform. `value` is None for a tombstone; `timestamp_ms` is since the epoch."""

    destination: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


JSON = Any
"""A value that json.loads returns."""


class JsonText(str):
    """A payload that is JSON already: it goes out as it is, unless an interceptor or another content type needs it."""

    __slots__ = ()
