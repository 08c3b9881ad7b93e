"""The events of the organization service: OrganizationChangeModel, with the four original keys and three more.

The schema is in `schema/organization_change.v1.json`.
"""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from event_stream import user_context
from event_stream.messaging.message import JSON, Message
from event_stream.outbox import emit_many, triggers
from event_stream.outbox.api import Emission

BINDING = "outboundOrgChanges"
TYPE = "organization.OrganizationChangeModel"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ActionEnum(StrEnum):
    """The operation on the organization."""

    GET = "GET"
    CREATED = "CREATED"
    UPDATED = "UPDATED"
    DELETED = "DELETED"


PAYLOAD_SQL = {
    "type": triggers.literal(TYPE),
    "action": triggers.by_operation(insert=ActionEnum.CREATED, update=ActionEnum.UPDATED, delete=ActionEnum.DELETED),
    "organizationId": triggers.KEY,
    "correlationId": triggers.CORRELATION_ID,
    "version": triggers.VERSION,
    "eventId": triggers.EVENT_ID,
    "occurredAt": triggers.OCCURRED_AT,
}
"""The payload of a change that bypassed the ORM, which a trigger assembles."""


def publish(action: ActionEnum, versions: Iterable[tuple[uuid.UUID, int]], *, using: str) -> None:
    """Write the events of these (organization, version) pairs into the outbox, in the current transaction."""
    context = user_context.current_or_new()
    with user_context.use(context):
        emit_many(BINDING, [_emission(action, pair, context) for pair in versions], using=using)


def heartbeat(as_of_us: int) -> JSON:
    """Return the payload that says: every change committed before `as_of_us` (microseconds) has been published.

    A consumer that knows only the four original keys ignores it, because it names no organization.
    """
    as_of = _rfc3339(_EPOCH + timedelta(microseconds=as_of_us))
    return {"type": TYPE, "action": ActionEnum.GET, "correlationId": "", "asOf": as_of}


def fallback_message(payload: JSON) -> JSON:
    """Return the fallback payload of an event that can't be sent: the four original keys, which evict every copy."""
    return {key: payload[key] for key in ("type", "action", "organizationId", "correlationId")}


def _emission(action: ActionEnum, pair: tuple[uuid.UUID, int], context: user_context.UserContext) -> Emission:
    organization_id, version = pair
    event_id = uuid.uuid4()
    payload = {
        "type": TYPE,
        "action": action,
        "organizationId": str(organization_id),
        "correlationId": context.correlation_id,
        "version": version,
        "eventId": str(event_id),
        "occurredAt": _rfc3339(datetime.now(UTC)),
    }
    # A read creates no version, so it must not count as the event of one.
    row_version = None if action is ActionEnum.GET else version
    return Emission(Message(payload, key=str(organization_id)), row_version, event_id)


def _rfc3339(instant: datetime) -> str:
    return instant.isoformat(timespec="microseconds").replace("+00:00", "Z")
