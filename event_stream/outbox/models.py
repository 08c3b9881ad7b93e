"""The table of messages on their way out."""

import uuid

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from event_stream.outbox.triggers import NotifyTrigger

UNSENT = models.Q(published_at__isnull=True, parked_at__isnull=True)
"""The rows the relay still has to send."""


class ClockTimestamp(models.Func):
    """The database's clock at this moment; `now()` stands still for the length of a transaction."""

    function = "clock_timestamp"
    output_field = models.DateTimeField()


class OutboxEntry(models.Model):
    """One message. Unsent, then either published (`partition` and `offset` say where it lies) or parked (`error`).

    Of a parked one `partition` and `offset` say where that lies which was sent in its place.
    """

    id = models.BigAutoField(primary_key=True)
    event_id = models.UUIDField(default=uuid.uuid4)
    binding = models.TextField()
    key = models.TextField(blank=True)
    payload = models.JSONField(encoder=DjangoJSONEncoder)
    headers = models.JSONField(default=dict, blank=True)
    # Of the row the message tells of; None where nothing is versioned.
    version = models.BigIntegerField(null=True, blank=True)
    correlation_id = models.TextField()
    # When the row was written: never later than its transaction's commit. The heartbeat rests on it.
    written_at = models.DateTimeField(db_default=ClockTimestamp(), editable=False)
    published_at = models.DateTimeField(null=True, blank=True)
    partition = models.IntegerField(null=True, blank=True)
    offset = models.BigIntegerField(null=True, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(db_default="", blank=True)
    # The write went round `emit`, and the trigger had to add its message.
    by_trigger = models.BooleanField(db_default=False)

    class Meta:
        db_table = "event_stream_outbox"
        verbose_name = "outbox entry"
        verbose_name_plural = "outbox entries"
        ordering = ["-id"]
        indexes = [
            # `+ 0` makes it the one index in the relay's order: see `store`.
            models.Index(models.F("id") + models.Value(0), name="event_stream_outbox_unsent", condition=UNSENT),
            # The heartbeat asks for the oldest of a binding.
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
        triggers = [NotifyTrigger(name="wake_relay")]

    def __str__(self) -> str:
        return f"{self.binding} {self.key} version {self.version}"
