"""Reading the outbox."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Max, Min, Q, QuerySet

from event_stream.outbox.models import UNSENT, OutboxEntry


@dataclass(frozen=True, slots=True)
class Status:
    """What lies in the outbox now. `oldest_unsent_at` is None where nothing is unsent."""

    unsent: int
    oldest_unsent_at: datetime | None
    parked: int


def status() -> Status:
    parked = Q(parked_at__isnull=False, published_at__isnull=True)
    counts = OutboxEntry.objects.filter(published_at__isnull=True).aggregate(
        unsent=Count("id", filter=UNSENT), oldest=Min("written_at", filter=UNSENT), parked=Count("id", filter=parked)
    )
    return Status(counts["unsent"], counts["oldest"], counts["parked"])


def parked_entries(limit: int) -> QuerySet[OutboxEntry]:
    """The latest of those that can't be sent."""
    return OutboxEntry.objects.filter(parked_at__isnull=False, published_at__isnull=True).order_by("-id")[:limit]


def last_version(binding: str, key: str) -> int | None:
    """The highest version that a message of this key was written for; None where none is kept.

    For a row that is gone this is the version of its deletion, in the reader's own snapshot: a creation that is not
    yet committed has a higher one. The clock would not do: the creation may have read it before.
    """
    newest: int | None = OutboxEntry.objects.filter(binding=binding, key=key).aggregate(newest=Max("version"))["newest"]
    return newest
