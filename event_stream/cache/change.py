"""What a record tells an applier."""

from dataclasses import dataclass

from event_stream.cache.entry import checked_version
from event_stream.cache.keys import is_id
from event_stream.errors import ConversionError


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
