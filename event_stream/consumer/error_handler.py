"""What becomes of a record that can never be handled."""

import logging
from typing import Protocol

from event_stream.messaging.message import ConsumerRecord

logger = logging.getLogger("event_stream.consumer.error_handler")


class RecordErrorHandler(Protocol):
    """Told by a handler, on its thread, what it gives up and what it has handled."""

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        """Called before the record's offset counts as done; the same record may come again after a crash or an outage.

        Raises UnavailableError where it can't be kept just now: the offset must not move then.
        """

    def accepted(self) -> None:
        """A message was handled."""


def log_rejected(record: ConsumerRecord, error: Exception) -> None:
    where = {"destination": record.destination, "partition": record.partition, "offset": record.offset}
    logger.warning("message.rejected", extra={**where, "error": str(error)})


class LoggingErrorHandler:
    """The record is passed over; a log line is all that is kept of it."""

    def reject(self, record: ConsumerRecord, error: Exception, attempts: int = 1) -> None:
        log_rejected(record, error)

    def accepted(self) -> None:
        """Nothing is counted."""
