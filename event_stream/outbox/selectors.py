"""Functions that read the outbox."""

from dataclasses import dataclass
from datetime import datetime

from django.db import connections
from django.db.models import Count, Max, Min, QuerySet

from event_stream.outbox.models import PARKED, UNSENT, OutboxEntry
from event_stream.outbox.settings import outbox_settings
from event_stream.outbox.triggers import LEADER_LOCK


@dataclass(frozen=True, slots=True)
class Status:
    """Counts of the entries in the outbox. `oldest_unsent_at` is None where nothing is unsent."""

    unsent: int
    oldest_unsent_at: datetime | None
    parked: int


def status() -> Status:
    counts = OutboxEntry.objects.filter(published_at__isnull=True).aggregate(
        unsent=Count("id", filter=UNSENT), oldest=Min("written_at", filter=UNSENT), parked=Count("id", filter=PARKED)
    )
    return Status(counts["unsent"], counts["oldest"], counts["parked"])


def parked_entries(limit: int) -> QuerySet[OutboxEntry]:
    """Return the latest entries that can't be sent."""
    return OutboxEntry.objects.filter(PARKED).order_by("-id")[:limit]


def last_version(binding: str, key: str) -> int | None:
    """Return the highest version that a message of this key was written for; None where no message is kept.

    For a deleted row this is the version of its deletion, in the reader's own snapshot: a creation that is not yet
    committed has a higher one. The clock would be wrong here, because the creation may have read it earlier.
    """
    newest: int | None = OutboxEntry.objects.filter(binding=binding, key=key).aggregate(newest=Max("version"))["newest"]
    return newest


def leading_backend() -> int | None:
    """Return the process id of the PostgreSQL backend through which a relay leads; None where none does."""
    with connections[outbox_settings().database].cursor() as cursor:
        cursor.execute(
            """
            SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
            WHERE locktype = 'advisory' AND granted AND datname = current_database()
                AND classid = %s AND objid = %s AND objsubid = 1
            """,
            [LEADER_LOCK >> 32, LEADER_LOCK & 0xFFFFFFFF],
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])
