"""Functions that write to the outbox in the caller's transaction."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.transaction import TransactionManagementError

from event_stream import user_context
from event_stream.messaging.message import Message
from event_stream.process_name import process_name

if TYPE_CHECKING:
    from event_stream.outbox.models import OutboxEntry


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
    return emit_many(binding, [Emission(message, version, event_id)], using=using)[0]


def emit_many(binding: str, emissions: Iterable[Emission], *, using: str = DEFAULT_DB_ALIAS) -> "list[OutboxEntry]":
    """Like `emit` for several messages, in as few statements as possible. They are sent in the given order."""
    _require_transaction(using)
    model: type[OutboxEntry] = apps.get_model("event_stream_outbox", "OutboxEntry")
    current = user_context.current()
    context = current or user_context.UserContext()
    by, entries = process_name(), []
    for emission in emissions:
        headers = {**context.message_headers(), **emission.message.headers}
        entries.append(
            model(
                event_id=emission.event_id or uuid.uuid4(),
                binding=binding,
                key=emission.message.key or "",
                payload=emission.message.payload,
                correlation_id=headers.pop(user_context.CORRELATION_ID),
                headers=headers,
                version=emission.version,
                requested_at=current.began_at if current else None,
                written_by=by,
            )
        )
    return model._default_manager.using(using).bulk_create(entries, batch_size=1_000)


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
