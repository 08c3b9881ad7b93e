"""Sends entries, waits for the acknowledgements, and marks what arrived."""

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime

from event_stream import correlation
from event_stream.bindable import source
from event_stream.conf import configuration
from event_stream.errors import ConversionError, PublishError, UnavailableError, UnsendableError
from event_stream.message import Receipt
from event_stream.outbox.outage import Outage
from event_stream.outbox.stand_in import StandIns
from event_stream.outbox.store import Entry, Store
from event_stream.partitioner import partition_for
from event_stream.testing import crash_points
from event_stream.testing.crash_points import CrashPoint

logger = logging.getLogger("event_stream.outbox")

_STOP_CHECK_S = 0.1
_KEYS_SHOWN = 10
Lane = tuple[str, int | None]


class Publisher:
    """Order is kept within a partition: once a send has failed, what comes after it counts as failed too.

    It may be in the log all the same, ahead of what failed. It is sent again then, after it: a key's last message in
    the log is always its latest.
    """

    def __init__(self, store: Store, outage: Outage, stop: Callable[[], bool]) -> None:
        self._store = store
        self._outage = outage
        self._stop = stop
        self._stand_ins = StandIns()
        self.parked = 0

    def publish(self, entries: Sequence[Entry]) -> bool:
        """Whether every entry is published or parked; otherwise the rest is to be tried again."""
        sent, complete = self._send(entries)
        receipts: dict[int, Receipt] = {}
        blocked = _Blocked()
        for entry, future in sent:
            try:
                receipt = self._result(future)
            except UnsendableError as error:
                if not self._park(entry, error):
                    blocked.add(entry)
            except PublishError as error:
                self._outage.met(error)
                blocked.add(entry)
            else:
                if receipt is None:
                    complete = False
                    break
                if not blocked.has(entry):
                    receipts[entry.id] = receipt
        if receipts:
            if complete and not blocked:
                self._outage.over()
            crash_points.reached(CrashPoint.OUTBOX_SENT_NOT_MARKED)
            self._report(entries, receipts, self._store.mark_published(receipts))
        return complete and not blocked

    def _send(self, entries: Iterable[Entry]) -> tuple[list[tuple[Entry, "Future[Receipt]"]], bool]:
        """What is under way, and whether that is everything: there is no use in going on when no server answers."""
        sent: list[tuple[Entry, Future[Receipt]]] = []
        bindings = configuration().bindings
        for entry in entries:
            if entry.binding not in bindings:
                self._park(entry, f"EVENT_STREAM['bindings'] has no {entry.binding!r}")
                continue
            try:
                with correlation.use(entry.context()):
                    future = source(entry.binding).send(entry.message())
            except ConversionError as error:
                if not self._park(entry, error):
                    return sent, False
                continue
            sent.append((entry, future))
            if future.done() and not isinstance(future.exception(), UnsendableError | None):
                return sent, False
        return sent, True

    def _result(self, future: "Future[Receipt]") -> Receipt | None:
        """None where the relay was told to stop before the end was known. Raises PublishError."""
        while True:
            try:
                return future.result(_STOP_CHECK_S)
            except TimeoutError:
                if self._stop():
                    return None

    def _park(self, entry: Entry, error: object) -> bool:
        """Whether it is parked: only once what stands in for it is acknowledged, as heartbeats pass a parked entry."""
        receipt: Receipt | None = None
        stand_in = self._stand_ins.send(entry)
        if stand_in is not None:
            try:
                receipt = self._result(stand_in)
            except UnsendableError as refusal:
                error = f"{error}. Nor can what stands in for it be sent: {refusal}"
            except PublishError as outage:
                self._outage.met(outage)
                return False
            else:
                if receipt is None:
                    return False
        self._store.park(entry.id, str(error), receipt)
        self.parked += 1
        where = {"partition": receipt.partition, "offset": receipt.offset} if receipt else None
        logger.error("outbox.parked", extra={**_identity(entry), "error": str(error), "stand_in": where})
        return True

    def _report(
        self, entries: Iterable[Entry], receipts: dict[int, Receipt], published_at: dict[int, datetime]
    ) -> None:
        published = [entry for entry in entries if entry.id in published_at]
        if logger.isEnabledFor(logging.INFO):
            for entry in published:
                receipt = receipts[entry.id]
                where = {"destination": receipt.destination, "partition": receipt.partition, "offset": receipt.offset}
                lag_ms = round((published_at[entry.id] - entry.written_at).total_seconds() * 1000, 3)
                logger.info("outbox.published", extra={**_identity(entry), **where, "lag_ms": lag_ms})
        strays = [entry for entry in published if entry.by_trigger]
        if strays:
            correlation_ids = sorted({entry.correlation_id for entry in strays})
            keys = [entry.key for entry in strays[:_KEYS_SHOWN]]
            extra = {"count": len(strays), "correlation_ids": correlation_ids, "keys": keys}
            logger.warning("outbox.by_trigger", extra=extra)


class _Blocked:
    """The partitions in which something failed. Where the platform can't say how many there are: the whole binding."""

    def __init__(self) -> None:
        self._lanes: set[Lane] = set()
        self._partitions: dict[str, int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def add(self, entry: Entry) -> None:
        self._lanes.add(self._lane(entry))

    def has(self, entry: Entry) -> bool:
        return bool(self._lanes) and self._lane(entry) in self._lanes

    def _lane(self, entry: Entry) -> Lane:
        if entry.binding not in self._partitions:
            try:
                self._partitions[entry.binding] = source(entry.binding).partition_count()
            except UnavailableError:
                self._partitions[entry.binding] = None
        partitions = self._partitions[entry.binding]
        return entry.binding, partition_for(entry.key.encode(), partitions) if partitions and entry.key else None


def _identity(entry: Entry) -> dict[str, object]:
    return {
        "correlation_id": entry.correlation_id,
        "event_id": str(entry.event_id),
        "binding": entry.binding,
        "key": entry.key,
        "version": entry.version,
    }
