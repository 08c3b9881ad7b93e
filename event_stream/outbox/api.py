"""Functions that write to the outbox in the caller's transaction."""

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.serializers.json import DjangoJSONEncoder
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from event_stream import user_context
from event_stream.messaging.message import Message
from event_stream.process_name import process_name

if TYPE_CHECKING:
    from event_stream.outbox.models import OutboxEntry


_ROWS_AT_ONCE = 1_000
_COLUMNS = "event_id, binding, key, payload, headers, version, correlation_id, requested_at, written_by"
_INSERT = f"""
    INSERT INTO event_stream_outbox ({_COLUMNS})
    SELECT {_COLUMNS} FROM ROWS FROM (
        json_to_recordset(%s) AS (
            event_id uuid, binding text, key text, payload jsonb, headers jsonb, version bigint, correlation_id text,
            requested_at timestamptz, written_by text
        )
    ) WITH ORDINALITY AS row ({_COLUMNS}, number) ORDER BY number
    RETURNING id, written_at
"""  # noqa: S608
"""One parameter for any number of rows: the ORM's `bulk_create` takes five times as long for each."""


@dataclass(frozen=True, slots=True)
class Emission:
    """One message of `emit_many`; see `emit` for the fields."""

    message: Message[Any]
    version: int | None = None
    event_id: uuid.UUID | None = None


def emit(
    binding: str,
    message: Message[Any],
    *,
    version: int | None,
    event_id: uuid.UUID | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> "OutboxEntry":
    """Send the message through the binding if, and only if, the current transaction commits.

    The payload may hold what json.dumps accepts, and dates, decimals and UUIDs. `version` is the version of the changed
    row: `MissingEventTrigger` adds a message for every version without one. Correlation and user ids come from the
    message's headers, else from the current user context. Raises TransactionManagementError outside of a transaction:
    the change would be committed already.
    """
    _require_transaction(using)
    [row] = _rows(binding, [Emission(message, version, event_id)])
    [(id, written_at)] = _insert([row], using)
    model: type[OutboxEntry] = apps.get_model("event_stream_outbox", "OutboxEntry")
    returned = {"id": id, "written_at": written_at, "published_by": "", "error": "", "by_trigger": False}
    requested_at = row["requested_at"] and datetime.fromisoformat(row["requested_at"])
    fields = {**row, **returned, "event_id": uuid.UUID(row["event_id"]), "requested_at": requested_at}
    entry = model(**fields)
    entry._state.adding, entry._state.db = False, using
    return entry


def emit_many(binding: str, emissions: Iterable[Emission], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Like `emit` for several messages, in as few statements as possible. They are sent in the given order."""
    _require_transaction(using)
    rows = _rows(binding, emissions)
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        _insert(rows[first : first + _ROWS_AT_ONCE], using)


def _rows(binding: str, emissions: Iterable[Emission]) -> list[dict[str, Any]]:
    current = user_context.current()
    context = (current or user_context.UserContext()).message_headers()
    correlation_id = context.pop(user_context.CORRELATION_ID)
    requested_at, written_by = current and current.began_at.isoformat(), process_name()
    rows = []
    for emission in emissions:
        headers = {**context, **emission.message.headers}
        rows.append(
            {
                "event_id": str(emission.event_id or uuid.uuid4()),
                "binding": binding,
                "key": emission.message.key or "",
                "payload": emission.message.payload,
                "correlation_id": headers.pop(user_context.CORRELATION_ID, correlation_id),
                "headers": headers,
                "version": emission.version,
                "requested_at": requested_at,
                "written_by": written_by,
            }
        )
    return rows


def _insert(rows: Sequence[Mapping[str, Any]], using: str) -> list[tuple[int, datetime]]:
    """Return the id and the time of each."""
    with connections[using].cursor() as cursor:
        cursor.execute(_INSERT, [json.dumps(rows, cls=DjangoJSONEncoder)])
        inserted: list[tuple[int, datetime]] = cursor.fetchall()
    return inserted


def share_correlation_id(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Give the current correlation id to the current transaction's triggers, for writes that bypass `emit`."""
    _require_transaction(using)
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT set_config('event_stream.correlation_id', %s, true)",
            [user_context.current_or_new().correlation_id],
        )


def _require_transaction(using: str) -> None:
    if not connections[using].in_atomic_block:
        raise TransactionManagementError(
            "A message goes into the outbox in the transaction of the change it tells of: use transaction.atomic() "
            "around both."
        )
