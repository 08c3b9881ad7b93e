"""`manage.py purge_inbox [--days N]`"""

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connections

from event_stream.inbox.idempotent import purge
from event_stream.terminal import TerminalCommand

DAYS = 45
# What is beyond is mistyped, and would be beyond the dates or numbers of a database sooner or later.
MAX_DAYS, MAX_BATCH = 36_500, 100_000


class Command(TerminalCommand):
    help = (
        "Deletes entries of events that were handled long ago. Keep entries for longer than topics and dead letters "
        "keep messages: an event that is delivered after its entry is gone is handled again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=DAYS, help=f"delete entries older than this (default: {DAYS})")
        parser.add_argument("--batch-size", type=int, default=1_000, help="rows in one transaction (default: 1000)")
        parser.add_argument(
            "--database", default="default", choices=tuple(connections), help="alias in DATABASES (default: default)"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 <= options["days"] <= MAX_DAYS or not 1 <= options["batch_size"] <= MAX_BATCH:
            raise CommandError(f"--days should be 0 to {MAX_DAYS}, --batch-size 1 to {MAX_BATCH}.")
        count = purge(timedelta(days=options["days"]), batch_size=options["batch_size"], using=options["database"])
        self.stdout.write(f"{count} entries older than {options['days']} days deleted")
