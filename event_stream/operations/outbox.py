"""What the operations pages ask of the outbox. Counts are capped, so that a table of any size answers at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from event_stream.conf import configuration
from event_stream.operations.counts import Capped, capped
from event_stream.outbox.models import PARKED, UNSENT, OutboxEntry

RATE_WINDOW = timedelta(minutes=1)


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


def published_per_s() -> float:
    """Within the last minute, whichever relays sent."""
    since = timezone.now() - RATE_WINDOW
    return capped(OutboxEntry.objects.filter(published_at__gt=since)).number / RATE_WINDOW.total_seconds()
