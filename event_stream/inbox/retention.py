"""Forgets what can't come again."""

from datetime import timedelta

from django.db.models import Q
from django.db.models.functions import Now

from event_stream.inbox.models import InboxEntry


def purge(older_than: timedelta, *, batch_size: int = 1_000, using: str = "default") -> int:
    """Delete the entries that are older, a transaction for each batch; how many they were.

    Keep them for longer than the topic and its dead letters keep messages, or a replay is handled twice.
    """
    entries = InboxEntry.objects.using(using)
    old = Q(received_at__lt=Now() - older_than)
    deleted = 0
    while True:
        batch = list(entries.filter(old).order_by("received_at").values_list("pk", flat=True)[:batch_size])
        if not batch:
            return deleted
        deleted += entries.filter(pk__in=batch).delete()[0]
