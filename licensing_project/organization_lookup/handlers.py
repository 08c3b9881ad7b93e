"""Organization change messages, ours and those of Spring Cloud Stream, as what the cache understands.

{"type", "action", "organizationId", "correlationId"}               the four keys that every producer sends
{..., "version", "eventId", "occurredAt"}                           what our organization service adds
{"type", "action": "GET", "correlationId": "", "asOf"}              a heartbeat: all before that instant is in the log
"""

import logging
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from event_stream.clock import Clock, SystemClock
from event_stream.conf import Binding
from event_stream.errors import ConversionError
from event_stream.fenced_cache import Change, Heartbeat
from event_stream.messaging.converters import decode
from event_stream.messaging.message import ConsumerRecord
from event_stream.user_context import CORRELATION_ID, is_acceptable
from service_kit.uuids import canonical_uuid

# Counts what a producer of a later time says and we do not understand.

logger = logging.getLogger(__name__)

INTERVAL_S = 60.0
_EVENTS = {"action": "message.unknown_action", "field": "message.unknown_field", "id": "message.unknown_id"}
_NAMES_KEPT = 100
_NAME_LENGTH = 80
OTHERS = "(others)"
"""Beyond so many names: a producer gone wild is no reason to keep ever more of them."""


class Unknown:
    """Actions, fields and ids that are passed over: counted by name, and told of at once, then once a minute at most.

    The line has `count`, that of this process so far: a metric for whatever makes metrics of logs.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._tell_at: dict[tuple[str, str], float] = {}

    def met(self, kind: str, name: str, *, partition: int, offset: int) -> None:
        """`kind` is "action", "field" or "id"; partition and offset are those of the message that brings it."""
        key = (kind, name[:_NAME_LENGTH])
        if key not in self._counts and len(self._counts) >= _NAMES_KEPT:
            key = (kind, OTHERS)
        self._counts[key] += 1
        now = self._clock.monotonic_s()
        if now >= self._tell_at.get(key, now):
            self._tell_at[key] = now + INTERVAL_S
            where = {"partition": partition, "offset": offset}
            logger.warning(_EVENTS[kind], extra={"unknown": key[1], "count": self._counts[key], **where})


# The source's text and the source's code disagree on the words: both are taken.
CHANGES = frozenset({"CREATED", "UPDATED", "DELETED", "SAVE", "UPDATE", "DELETE"})
READ = "GET"
FIELDS = frozenset({"type", "action", "organizationId", "correlationId", "version", "eventId", "occurredAt", "asOf"})

# A version is at least the microseconds of the database's clock. One from far beyond would be a floor under which
# no true version could ever be cached, so it is not believed.
_MOST_AHEAD_US = 3_600_000_000


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class OrganizationChangeDecoder:
    """Decodes the records of one binding. Actions and fields of a later time are passed over, and counted.

    `versioned=False` is for an organization service without versions: no message's version then says anything about
    what is cached, so every change evicts.
    """

    def __init__(self, binding: Binding, unknown: Unknown | None = None, *, versioned: bool = True) -> None:
        self._binding = binding
        self._versioned = versioned
        self._unknown = unknown or Unknown()

    def __call__(self, record: ConsumerRecord) -> Change | Heartbeat | None:
        """What the record means for the cache; None if nothing. Raises ConversionError where that can't be said."""
        message = decode(self._binding, record)
        payload = message.payload
        if not isinstance(payload, Mapping):
            raise ConversionError(f"the body should be an object, not {type(payload).__name__}")
        if more := payload.keys() - FIELDS:
            for field in more:
                self._unknown.met("field", field, partition=record.partition, offset=record.offset)
        action, organization_id = payload.get("action"), payload.get("organizationId")
        if action == READ:
            return _heartbeat(payload) if organization_id is None else None
        if not isinstance(action, str):
            raise ConversionError(f"action should be a text, not {action!r:.80}")
        if action not in CHANGES:
            self._unknown.met("action", action, partition=record.partition, offset=record.offset)
            return None
        if not isinstance(organization_id, str):
            raise ConversionError(f"organizationId should be a text, not {organization_id!r:.80}")
        id = canonical_id(organization_id)
        if id is None:
            # Another kind of thing. Its key may still be an organization's: then that one is evicted.
            self._unknown.met("id", "no UUID", partition=record.partition, offset=record.offset)
            key_id = id_of_key(record.key)
            return None if key_id is None else Change(key_id, None, None, record.timestamp_ms)
        return Change(
            id=id,
            version=_version(payload.get("version"), record) if self._versioned else None,
            correlation_id=_correlation_id(payload.get("correlationId"), message.headers.get(CORRELATION_ID)),
            occurred_at_ms=_instant_ms(payload.get("occurredAt")) or record.timestamp_ms,
        )


def canonical_id(text: str) -> str | None:
    """The form under which an organization is cached: its UUID in lower case. None for what is no UUID."""
    try:
        return canonical_uuid(text)
    except ValueError:
        return None


def id_of_key(key: bytes | None) -> str | None:
    """The organization that a record's key names, in whatever spelling."""
    return canonical_id(key.decode("ascii", "replace")) if key else None


def _heartbeat(payload: Mapping[str, Any]) -> Heartbeat | None:
    as_of_ms = _instant_ms(payload.get("asOf"))
    return None if as_of_ms is None else Heartbeat(as_of_ms)


def _correlation_id(*candidates: object) -> str | None:
    """The first that may be kept as one: it goes into every log line of the batch."""
    return next((each for each in candidates if isinstance(each, str) and is_acceptable(each)), None)


def _version(value: object, record: ConsumerRecord) -> int | None:
    """None, which evicts whatever is cached, for a version that is missing or can't be one."""
    if value is None:
        return None
    limit_us = time.time_ns() // 1_000 + _MOST_AHEAD_US
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= limit_us:
        logger.warning(
            "message.unbelievable_version",
            extra={"version": f"{value!r:.80}", "partition": record.partition, "offset": record.offset},
        )
        return None
    return value


def _instant_ms(value: object) -> int | None:
    """An RFC 3339 instant in milliseconds since the epoch, rounded down; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    if instant.tzinfo is None:
        return None
    return (instant - _EPOCH) // _MILLISECOND
