"""Parked entries: they can't be sent, and stay until a person sends them again."""

from django.db import transaction
from django.db.models import QuerySet

from event_stream.outbox.models import PARKED, OutboxEntry
from event_stream.retry import rerun_on_conflict


@rerun_on_conflict
def send_again(entries: QuerySet[OutboxEntry]) -> int:
    """Let the relay try these parked entries again; return how many there were. Others are left as they are."""
    parked = OutboxEntry.objects.filter(PARKED, pk__in=entries.order_by().values("pk"))
    with transaction.atomic():
        # Locked in the order of ids, as by all bulk writes.
        ids = list(parked.order_by("pk").select_for_update().values_list("pk", flat=True))
        return OutboxEntry.objects.filter(pk__in=ids).update(parked_at=None, error="", partition=None, offset=None)
