"""Published entries are kept for a while, for whoever follows a transaction, and then deleted."""

import logging
import time

from event_stream.outbox.settings import OutboxSettings
from event_stream.outbox.store import Store

logger = logging.getLogger("event_stream.outbox")


class Retention:
    """A small batch at a time, between two batches of messages, so that nobody waits for a purge."""

    def __init__(self, store: Store, settings: OutboxSettings) -> None:
        self._store = store
        self._settings = settings
        self._due_s = time.monotonic()

    def wait_s(self) -> float:
        return max(0.0, self._due_s - time.monotonic())

    def purge_if_due(self) -> None:
        """At once again after a full batch: there is more."""
        if self.wait_s() > 0:
            return
        limit = self._settings.purge_batch_size
        purged = self._store.purge(self._settings.retention_hours, limit)
        if purged:
            logger.info("outbox.purged", extra={"count": purged})
        if purged < limit:
            self._due_s = time.monotonic() + self._settings.purge_interval_s
