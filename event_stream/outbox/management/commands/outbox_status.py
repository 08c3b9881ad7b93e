"""manage.py outbox_status"""

from typing import Any

from django.utils import timezone

from event_stream.outbox.selectors import parked_entries, status
from event_stream.terminal import TerminalCommand

_SHOWN = 5


class Command(TerminalCommand):
    """Prints one line, and one for each of the latest parked messages."""

    help = "Shows how many messages wait in the outbox, for how long, and how many are parked."

    def handle(self, *args: Any, **options: Any) -> None:
        now = status()
        since = ""
        if now.oldest_unsent_at:
            since = f" (the oldest for {(timezone.now() - now.oldest_unsent_at).total_seconds():.1f} s)"
        self.stdout.write(f"{now.unsent} unsent{since}, {now.parked} parked")
        for entry in parked_entries(_SHOWN):
            self.stdout.write(f"parked: {entry}, {entry.parked_at:%Y-%m-%d %H:%M:%S}: {entry.error:.200}")
        if now.parked:
            self.stdout.write("next: fix the cause, then send them again in the admin (Outbox entries, state parked)")
