"""What the operations pages ask of the outbox. Counts are capped, so that a table of any size answers at once."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet
from django.utils import timezone

from event_stream.conf import configuration
from event_stream.operations.counts import Capped, capped
from event_stream.outbox.models import PARKED, UNSENT, OutboxEntry
from event_stream.outbox.parked import send_again

RATE_WINDOW = timedelta(minutes=1)
GROUPED, GROUPS_SHOWN = 10_000, 50
_BATCH = 1_000
_LONGEST_S = 15.0
"""For one request: below the time after which a gateway gives up."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """The entries that are still to be sent. `oldest_at` is None where there are none."""

    count: Capped
    oldest_at: datetime | None

    @property
    def age_s(self) -> float:
        return 0.0 if self.oldest_at is None else max(0.0, (timezone.now() - self.oldest_at).total_seconds())


def waiting() -> Waiting:
    unsent = OutboxEntry.objects.filter(UNSENT)
    # The index has them by binding, each with its oldest in front.
    of_bindings = (unsent.filter(binding=binding).order_by("written_at") for binding in configuration().bindings)
    oldest = [entry.written_at for entries in of_bindings if (entry := entries.only("written_at").first())]
    return Waiting(capped(unsent), min(oldest, default=None))


def parked_count() -> Capped:
    return capped(OutboxEntry.objects.filter(PARKED))


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which parked entries: of a binding, with a text in their error, or with one error exactly. "" stands for all."""

    binding: str = ""
    text: str = ""
    error: str = ""
    id: int | None = None

    def entries(self) -> QuerySet[OutboxEntry]:
        entries = OutboxEntry.objects.filter(PARKED)
        if self.binding:
            entries = entries.filter(binding=self.binding)
        if self.text:
            entries = entries.filter(error__icontains=self.text)
        if self.error:
            entries = entries.filter(error=self.error)
        return entries if self.id is None else entries.filter(pk=self.id)


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    binding: str
    error: str
    count: int
    first_at: datetime
    last_at: datetime


def parked_groups(wanted: ParkedFilter) -> list[ParkedGroup]:
    """By binding and error, the largest first; of the latest GROUPED entries only."""
    latest = wanted.entries().order_by("-parked_at").values("pk")[:GROUPED]
    groups = (
        OutboxEntry.objects.filter(pk__in=latest)
        .order_by()
        .values("binding", "error")
        .annotate(count=Count("pk"), first_at=Min("parked_at"), last_at=Max("parked_at"))
        .order_by("-count")
    )
    return [ParkedGroup(**group) for group in groups[:GROUPS_SHOWN]]


def send_all_again(wanted: ParkedFilter) -> int:
    """Send again what matches, a batch at a time, for a while at most; return how many."""
    until_s, sent = time.monotonic() + _LONGEST_S, 0
    while time.monotonic() < until_s:
        batch = list(wanted.entries().order_by().values_list("pk", flat=True)[:_BATCH])
        if not batch:
            break
        sent += send_again(OutboxEntry.objects.filter(pk__in=batch))
    return sent


def published_per_s() -> float:
    """Within the last minute, whichever relays sent."""
    since = timezone.now() - RATE_WINDOW
    return capped(OutboxEntry.objects.filter(published_at__gt=since)).number / RATE_WINDOW.total_seconds()
