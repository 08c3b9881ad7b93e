"""manage.py outbox_status"""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from event_stream.outbox.selectors import status


class Command(BaseCommand):
    """One line."""

    help = "Say how many messages wait in the outbox, since when, and how many are parked."

    def handle(self, *args: Any, **options: Any) -> None:
        now = status()
        since = ""
        if now.oldest_unsent_at:
            since = f" (the oldest for {(timezone.now() - now.oldest_unsent_at).total_seconds():.1f} s)"
        self.stdout.write(f"{now.unsent} unsent{since}, {now.parked} parked")
