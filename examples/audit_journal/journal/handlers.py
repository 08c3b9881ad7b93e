"""What becomes of a message: a row of the journal."""

from collections.abc import Mapping
from typing import Any

from event_stream import Message, RejectedError, user_context
from journal.models import JournalEntry


def write_down(message: Message[Any]) -> None:
    """A row for each event. Raises RejectedError or Django's ValidationError for what can be none.

    To be wrapped in `Idempotent`, which sees to it that an event that comes again writes nothing.
    """
    payload = message.payload
    if not isinstance(payload, Mapping):
        raise RejectedError(f"the body should be an object, not {type(payload).__name__}")
    if payload.get("action") == "GET" and payload.get("organizationId") is None:
        return  # a heartbeat: it tells how complete the log is, and of no organization
    context = user_context.current_or_new()
    fields: dict[str, Any] = {
        "event_id": payload.get("eventId") or "",
        "organization_id": payload.get("organizationId"),
        "action": payload.get("action"),
        "version": payload.get("version"),
        "user_id": context.user_id or "",
        "correlation_id": payload.get("correlationId") or context.correlation_id,
        "occurred_at": payload.get("occurredAt"),
    }
    entry = JournalEntry(**fields)
    entry.full_clean()
    entry.save(force_insert=True)
