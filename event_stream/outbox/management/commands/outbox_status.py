"""manage.py outbox_status"""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from event_stream.outbox.selectors import parked_entries, status

_SHOWN = 5


class Command(BaseCommand):
    """One line, and one for each of the latest parked messages."""

    help = "Say how many messages wait in the outbox, since when, and how many are parked."

    def handle(self, *args: Any, **options: Any) -> None:
        now = status()
        since = ""
        if now.oldest_unsent_at:
            since = f" (the oldest for {(timezone.now() - now.oldest_unsent_at).total_seconds():.1f} s)"
        self.stdout.write(f"{now.unsent} unsent{since}, {now.parked} parked")
        for entry in parked_entries(_SHOWN):
            self.stdout.write(f"parked: {entry}, {entry.parked_at:%Y-%m-%d %H:%M:%S}: {entry.error:.200}")
        if now.parked:
            self.stdout.write("next: mend the cause, then in the admin (Outbox entries, state parked): send them again")
