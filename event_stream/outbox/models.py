"""The table of the outbox."""

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from event_stream.outbox.triggers import NotifyTrigger, RefuseTruncateTrigger, UnusedIdTrigger

UNSENT = models.Q(published_at__isnull=True, parked_at__isnull=True)
"""The rows the relay still has to send."""
PARKED = models.Q(published_at__isnull=True, parked_at__isnull=False)
"""The rows that can't be sent, until a person sends them again."""


class ClockTimestamp(models.Func):
    """The database's clock at this moment; `now()` is the same for a whole transaction."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class OutboxEntry(models.Model):
    """One message. It is unsent, then either published or parked (with an `error`).

    `partition` and `offset` are those of the published message, or of the fallback message for a parked one.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(default=uuid.uuid4)
    binding = models.TextField()
    key = models.TextField(blank=True)
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    headers = models.JSONField(default=dict, blank=True)
    # The version of the changed row; None where rows have no versions.
    version = models.BigIntegerField(null=True, blank=True)
    correlation_id = models.TextField()
    # When the request began that wrote it; None outside of a request, and for what a trigger added.
    requested_at = models.DateTimeField(null=True, blank=True)
    # The processes, as host:pid; "" where nobody knows.
    written_by = models.TextField(db_default="", blank=True)
    published_by = models.TextField(db_default="", blank=True)
    # Never later than the transaction's commit; the heartbeat relies on that.
    written_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    published_at = models.DateTimeField(null=True, blank=True)
    partition = models.IntegerField(null=True, blank=True)
    offset = models.BigIntegerField(null=True, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(db_default="", blank=True)
    # The write bypassed `emit`, and the trigger added its message.
    by_trigger = models.BooleanField(db_default=False)

    class Meta:
        db_table = "event_stream_outbox"
        verbose_name = "outbox entry"
        verbose_name_plural = "outbox entries"
        ordering = ["-id"]
        indexes = [
            # `+ 0` makes it the only index with the relay's order: see `Store.unsent`.
            models.Index(models.F("id") + models.Value(0), name="event_stream_outbox_unsent", condition=UNSENT),
            # The heartbeat reads the oldest entry of a binding.
            models.Index(fields=["binding", "written_at"], name="event_stream_outbox_oldest", condition=UNSENT),
            models.Index(fields=["binding", "key", "version"], name="event_stream_outbox_key"),
            models.Index(fields=["correlation_id"], name="event_stream_outbox_trace"),
            models.Index(
                fields=["published_at"],
                name="event_stream_outbox_purge",
                condition=models.Q(published_at__isnull=False),
            ),
            models.Index(
                fields=["parked_at"],
                name="event_stream_outbox_parked",
                condition=models.Q(parked_at__isnull=False),
            ),
        ]
        triggers = [
            NotifyTrigger(name="wake_relay"),
            UnusedIdTrigger(name="unused_id"),
            RefuseTruncateTrigger(name="refuse_truncate"),
        ]

    def __str__(self) -> str:
        return f"{self.binding} {self.key} version {self.version}"
