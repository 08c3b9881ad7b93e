"""The log lines of a worker that have more to say than their name."""

import logging

from event_stream import headers
from event_stream.binder import LogBounds
from event_stream.correlation import CORRELATION_ID
from event_stream.handler import Batch, Handled
from event_stream.partition import Partition

logger = logging.getLogger("event_stream.worker")


def batch_handled(batch: Batch, outcome: Handled, seconds: float) -> None:
    """One line a batch, with the correlation ids of its messages."""
    level = logging.DEBUG if outcome.routine else logging.INFO
    if not logger.isEnabledFor(level):
        return
    given = [
        headers.decode([header])[CORRELATION_ID]
        for record in batch.records
        for header in record.headers
        if header[0] == CORRELATION_ID
    ]
    extra = {
        "partition": batch.partition,
        "first_offset": batch.records[0].offset,
        "last_offset": batch.records[-1].offset,
        "count": len(batch.records),
        "correlation_ids": list(dict.fromkeys(given)),
        "ms": round(seconds * 1000, 3),
    }
    logger.log(level, "worker.batch", extra=extra)


def paused(partition: Partition, pause_s: float, error: Exception) -> None:
    """A warning once an outage; the attempts that follow are for debugging."""
    level = logging.WARNING if partition.attempts == 1 else logging.DEBUG
    extra = {"partition": partition.number, "attempt": partition.attempts, "pause_ms": round(pause_s * 1000)}
    logger.log(level, "worker.paused", extra=extra | {"reason": str(error)})


def restarted(partition: Partition, offset: int, log: LogBounds) -> None:
    """The log does not hold the offset that was to be read from."""
    extra = {"partition": partition.number, "offset": offset, "log_start": log.start, "log_end": log.end}
    logger.warning("worker.restarted", extra=extra)
