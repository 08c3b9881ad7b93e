"""A batch, put together: many changes of one id need one eviction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from event_stream.cache.answers import Eviction
from event_stream.cache.change import Change, Heartbeat
from event_stream.message import Record

logger = logging.getLogger("event_stream.cache")


@dataclass(slots=True)
class Digest:
    """What the records of a batch come to."""

    newest: dict[str, int] = field(default_factory=dict)
    """The greatest version of each id."""
    unversioned: set[str] = field(default_factory=set)
    correlation_ids: dict[str, None] = field(default_factory=dict)
    """In the order of the log, each once."""
    occurred_at_ms: int | None = None
    """The newest change's."""
    as_of_ms: int = 0
    """The greatest heartbeat's; 0 for none."""

    def add(self, told: Change | Heartbeat | None) -> None:
        if isinstance(told, Heartbeat):
            self.as_of_ms = max(self.as_of_ms, told.as_of_ms)
        elif told is not None:
            self._add_change(told)

    def evictions(self) -> list[Eviction]:
        """One for each id; a second one where it had changes with and without a version, which evict differently."""
        versioned = [Eviction(id, version) for id, version in self.newest.items()]
        return versioned + [Eviction(id) for id in sorted(self.unversioned)]

    def _add_change(self, change: Change) -> None:
        if change.version is None:
            self.unversioned.add(change.id)
        else:
            self.newest[change.id] = max(change.version, self.newest.get(change.id, 0))
        if change.correlation_id:
            self.correlation_ids[change.correlation_id] = None
        if change.occurred_at_ms is not None:
            self.occurred_at_ms = max(change.occurred_at_ms, self.occurred_at_ms or 0)


def log_applied(partition: int, records: Sequence[Record], digest: Digest, now_ms: int) -> None:
    """What these records have evicted, with what it was done for and how long it took."""
    occurred_at_ms = digest.occurred_at_ms
    logger.info(
        "eviction.applied",
        extra={
            "partition": partition,
            "first_offset": records[0].offset,
            "last_offset": records[-1].offset,
            "ids": list(dict.fromkeys(each.id for each in digest.evictions())),
            "correlation_ids": list(digest.correlation_ids),
            "lag_ms": None if occurred_at_ms is None else now_ms - occurred_at_ms,
        },
    )
