"""The table of the inbox."""

from django.db import models
from django.db.models.functions import Now


class InboxEntry(models.Model):
    """One event that one group has handled, written in the transaction of its handler."""

    group = models.TextField()
    event_id = models.TextField()
    received_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        verbose_name_plural = "inbox entries"
        constraints = [models.UniqueConstraint(fields=["group", "event_id"], name="event_stream_inbox_once")]

    def __str__(self) -> str:
        return f"{self.event_id} by {self.group}"
