"""What becomes of a record that can never be handled."""

import logging
from typing import Protocol

from event_stream import signals
from event_stream.messaging.message import ConsumerRecord

logger = logging.getLogger("event_stream.consumer.error_handler")


class RecordErrorHandler(Protocol):
    """Told by a handler, on the handler's thread, which records it gives up and which it has handled.

    Any method may raise UnavailableError: the offset must not move then, and the same record comes again.
    """

    def start(self, partition: int) -> None:
        """The partition has been assigned to this worker."""

    def stop(self, partition: int) -> None:
        """The partition has been revoked or lost."""

    def hold(self, record: ConsumerRecord) -> bool:
        """Whether the record must not be handled, as one of its key is given up already. It has been kept if so."""

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        """Called before the record's offset counts as done; the same record may come again after a crash."""

    def accepted(self, record: ConsumerRecord) -> None:
        """The record was handled."""


def log_rejected(record: ConsumerRecord, error: Exception) -> None:
    where = {"destination": record.destination, "partition": record.partition, "offset": record.offset}
    logger.warning("message.rejected", extra={**where, "error": str(error)})
    signals.record_rejected.send_robust(None, record=record, error=error)


class LoggingErrorHandler:
    """The record is passed over; a log line is all that is kept of it."""

    def start(self, partition: int) -> None:
        """Nothing is kept for a partition."""

    def stop(self, partition: int) -> None:
        """Nothing is kept for a partition."""

    def hold(self, record: ConsumerRecord) -> bool:
        return False

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        log_rejected(record, error)

    def accepted(self, record: ConsumerRecord) -> None:
        """Nothing is counted."""
