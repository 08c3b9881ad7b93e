"""What waits in the outbox, computed when it is asked for."""

from collections.abc import Iterator

from django.db import connections, router, transaction

from event_stream.conf import configuration
from event_stream.database_connections import database_connections
from event_stream.metrics import names
from event_stream.metrics.exposition import Sample
from event_stream.outbox.models import OutboxEntry

CAP = 100_000
"""Nobody needs to know by how many more it is, and a scrape must not count a million rows."""

# With statistics from before a backlog was sent, the planner might read the whole table.
LOCAL_SETTINGS = "SELECT set_config('statement_timeout', '1s', true), set_config('enable_seqscan', 'off', true)"
# Each is a look into a partial index of the table: it costs what waits, and never what was sent.
SQL = f"""
SELECT
    (SELECT count(*) FROM (
        SELECT FROM event_stream_outbox
        WHERE binding = %(binding)s AND published_at IS NULL AND parked_at IS NULL LIMIT {CAP}
    ) AS waiting),
    (SELECT extract(epoch FROM clock_timestamp() - min(written_at)) FROM event_stream_outbox
        WHERE binding = %(binding)s AND published_at IS NULL AND parked_at IS NULL),
    (SELECT count(*) FROM (
        SELECT FROM event_stream_outbox
        WHERE binding = %(binding)s AND parked_at IS NOT NULL AND published_at IS NULL LIMIT {CAP}
    ) AS parked)
"""  # noqa: S608 - a number of ours


class OutboxSource:
    """For each binding that sends."""

    name = "outbox"

    def read(self) -> Iterator[Sample]:
        alias = router.db_for_read(OutboxEntry)
        with database_connections(), transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute(LOCAL_SETTINGS)
            for binding in configuration().bindings.values():
                if binding.group is None:
                    cursor.execute(SQL, {"binding": binding.name})
                    waiting, age_s, parked = cursor.fetchall()[0]
                    labels = (binding.name,)
                    yield Sample(names.OUTBOX_WAITING, waiting, labels)
                    yield Sample(names.OUTBOX_OLDEST_AGE, max(0.0, float(age_s or 0)), labels)
                    yield Sample(names.OUTBOX_PARKED_ENTRIES, parked, labels)
