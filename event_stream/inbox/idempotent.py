"""Handles each event once, however often it is delivered, and purges old entries of the inbox."""

import logging
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.db import connections, transaction
from django.db.models import Q
from django.db.models.functions import Now

from event_stream.conf import Binding
from event_stream.errors import ConfigurationError
from event_stream.inbox.models import InboxEntry
from event_stream.messaging.message import Message

logger = logging.getLogger("event_stream.inbox")

_MAX_ID = 200

Function = Callable[[Message[Any]], None]
EventId = Callable[[Message[Any]], str | None]


def event_id_in_payload(message: Message[Any]) -> str | None:
    """Return the payload's "eventId", or None where it is missing or can't be an id."""
    event_id = message.payload.get("eventId") if isinstance(message.payload, Mapping) else None
    # PostgreSQL's text holds no NUL, and UTF-8 has no bytes for a lone surrogate.
    usable = isinstance(event_id, str) and event_id.isprintable() and 0 < len(event_id) <= _MAX_ID
    return event_id if usable else None


class Idempotent:
    """Wraps the function of a Sink: records the event and runs the function in one transaction.

    Only writes to the database `using` are protected. A function that raises leaves no record of the event, so its
    message may be handled again. Two workers with the same event wait for each other. A message without an id (a
    foreign producer's) is handled each time that it is delivered.
    """

    def __init__(
        self,
        binding: Binding,
        function: Function,
        *,
        event_id: EventId = event_id_in_payload,
        using: str = "default",
    ) -> None:
        if binding.group is None:
            raise ConfigurationError(f"EVENT_STREAM['bindings'][{binding.name!r}]['group'] is missing; it consumes")
        self._group = binding.group
        self._function = function
        self._event_id = event_id
        self._using = using

    def __call__(self, message: Message[Any]) -> None:
        event_id = self._event_id(message)
        with transaction.atomic(using=self._using):
            if event_id is None or self._is_new(event_id):
                self._function(message)
            else:
                logger.info("inbox.duplicate", extra={"group": self._group, "event_id": event_id})

    def _is_new(self, event_id: str) -> bool:
        # A single statement, which waits for another transaction that has just recorded the same event.
        connection = connections[self._using]
        quote = connection.ops.quote_name
        table, group, id = (quote(name) for name in (InboxEntry._meta.db_table, "group", "event_id"))
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {table} ({group}, {id}) VALUES (%s, %s) ON CONFLICT DO NOTHING",  # noqa: S608 - our names
                [self._group, event_id],
            )
            return bool(cursor.rowcount)


def purge(older_than: timedelta, *, batch_size: int = 1_000, using: str = "default") -> int:
    """Delete older entries, each batch in a transaction of its own; return how many there were.

    Keep entries for longer than the topic and its dead letters keep messages, or a replay is handled twice.
    """
    entries = InboxEntry.objects.using(using)
    old = Q(received_at__lt=Now() - older_than)
    deleted = 0
    while True:
        with transaction.atomic(using=using):
            # What another purge is deleting is left to it.
            locked = entries.filter(old).order_by("received_at").select_for_update(skip_locked=True)
            batch = list(locked.values_list("pk", flat=True)[:batch_size])
            if not batch:
                return deleted
            deleted += entries.filter(pk__in=batch).delete()[0]
