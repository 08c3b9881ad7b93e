"""What has been done with organizations, in the order in which it was told."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now


class JournalEntry(models.Model):
    """One event. Written once, and never changed."""

    event_id = models.CharField(max_length=200, blank=True, help_text="Empty for a producer that gives none.")
    organization_id = models.UUIDField(db_index=True)
    action = models.CharField(max_length=40)
    version = models.BigIntegerField(null=True, blank=True)
    user_id = models.CharField(max_length=128, blank=True)
    correlation_id = models.CharField(max_length=128, blank=True, db_index=True)
    occurred_at = models.DateTimeField(null=True, blank=True)
    written_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name_plural = "journal entries"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return f"{self.action} {self.organization_id}"
