"""Sends entries, waits for the acknowledgements and marks what arrived; sends fallback messages and heartbeats too."""

import itertools
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from event_stream import failpoints, signals, user_context
from event_stream.conf import configuration, producer_function
from event_stream.errors import (
    ConfigurationError,
    ConversionError,
    EventStreamError,
    PublishError,
    UnavailableError,
    UnsendableError,
)
from event_stream.failpoints import FailPoint
from event_stream.messaging.binder import Delivery
from event_stream.messaging.channel import failed_at_once
from event_stream.messaging.message import Message, ProducerRecord, RecordMetadata
from event_stream.messaging.partitioner import partition_for
from event_stream.messaging.source import source
from event_stream.outage_log import OutageLog
from event_stream.outbox.store import Entry, Store

logger = logging.getLogger("event_stream.outbox")

_STOP_CHECK_S = 0.1
_KEYS_SHOWN = 10
# A heartbeat belongs to no transaction; a generated correlation id would look like one.
_HEARTBEAT_HEADERS = {user_context.CORRELATION_ID: ""}

PartitionKey = tuple[str, int | None]
"""A binding and a partition of it; None stands for all of its partitions."""


def outage_log(server: str) -> OutageLog:
    """Return what logs that a server of the relay (`broker` or `database`) is away, and that it is back."""
    return OutageLog(logger, began="outbox.unreachable", ended="outbox.reachable", fields={"server": server})


def producer_functions(key: Literal["heartbeat", "fallback_message"]) -> dict[str, Callable[[Any], Any]]:
    """Return the functions that bindings name in their producer settings under `key`, by the name of the binding.

    Raises ConfigurationError for a path that leads to none.
    """
    functions = {name: producer_function(binding, key) for name, binding in configuration().bindings.items()}
    return {name: function for name, function in functions.items() if function is not None}


class FallbackMessages:
    """Sends a small message in place of an entry that can't be sent, so that readers drop their copies.

    The function that a binding names in `producer.fallback_message` makes its payload from the payload of the entry.
    """

    def __init__(self) -> None:
        self._makers = producer_functions("fallback_message")

    def send(self, entry: Entry) -> "Future[RecordMetadata] | None":
        """Send under the key of the entry, and so to its partition. None where there is no fallback message."""
        make = self._makers.get(entry.binding)
        if make is None:
            return None
        try:
            # Keep only the correlation id: another header may be what made the entry too large.
            headers = {user_context.CORRELATION_ID: entry.correlation_id}
            message = Message(make(json.loads(entry.payload)), key=entry.key or None, headers=headers)
            with user_context.use(entry.context()):
                return source(entry.binding).send(message)
        except Exception:
            # The relay goes on with the other messages, whatever is wrong with this one or with the function.
            logger.exception("outbox.no_fallback_message", extra={"binding": entry.binding, "key": entry.key})
            return None


class FailedPartitions:
    """The partitions in which a send failed; the whole binding where the platform can't say how many it has."""

    def __init__(self) -> None:
        self._failed: set[PartitionKey] = set()
        self._partition_counts: dict[str, int | None] = {}

    def __bool__(self) -> bool:
        return bool(self._failed)

    def add(self, entry: Entry) -> None:
        self._failed.add(self._partition_key(entry))

    def has(self, entry: Entry) -> bool:
        return bool(self._failed) and self._partition_key(entry) in self._failed

    def _partition_key(self, entry: Entry) -> PartitionKey:
        if entry.binding not in self._partition_counts:
            try:
                self._partition_counts[entry.binding] = source(entry.binding).partition_count()
            except UnavailableError:
                self._partition_counts[entry.binding] = None
        count = self._partition_counts[entry.binding]
        return entry.binding, partition_for(entry.key.encode(), count) if count and entry.key else None


@dataclass(frozen=True, slots=True)
class _Batch:
    """Entries that are under way."""

    entries: Sequence[Entry]
    sent: Sequence[tuple[Entry, Delivery]]
    is_whole: bool
    """Whether each entry was sent or parked: sending stops when no server answers."""
    began_s: float


class Publisher:
    """Publishes entries in the order of each partition, several batches at a time.

    While the platform acknowledges one batch and the database marks it, the next is on its way already. All go through
    one producer, so their order is that of sending.

    Once a send has failed, the later sends to its partition count as failed too, those of the batches behind it
    included, and nothing more is sent until each batch is settled. One of them may be in the log all the same, ahead of
    the entry that failed; it is sent again after that entry. A key's last message in the log is always its latest.
    """

    def __init__(self, store: Store, outage: OutageLog, stop: Callable[[], bool]) -> None:
        self._store = store
        self._outage = outage
        self._stop = stop
        self._fallback_messages = FallbackMessages()
        self._batches: deque[_Batch] = deque()
        self._failed = FailedPartitions()
        self._is_whole = True
        """Whether each entry of the batches that are under way, or failed behind them, was sent or parked."""
        self.parked = 0

    @property
    def under_way(self) -> Collection[int]:
        """The ids of the entries that are sent and not settled."""
        return [entry.id for batch in self._batches for entry in batch.entries]

    @property
    def may_send(self) -> bool:
        """False after a failure, until all is settled that was under way."""
        return self._is_whole and not self._failed

    def send(self, entries: Sequence[Entry]) -> None:
        began_s = time.monotonic()
        sent: list[tuple[Entry, Delivery]] = []
        self._is_whole = self._send(entries, sent)
        self._batches.append(_Batch(entries, sent, self._is_whole, began_s))

    def settle(self) -> bool:
        """Wait for the acknowledgements of the oldest batch, and mark its entries.

        Return whether every one of them is published or parked; otherwise read and send the rest again once nothing is
        under way.
        """
        batch = self._batches.popleft()
        is_done = batch.is_whole
        receipts: dict[int, RecordMetadata] = {}
        for entry, delivery in batch.sent:
            try:
                receipt = self._result(delivery)
            except UnsendableError as error:
                if not self._park(entry, error):
                    self._failed.add(entry)
            except PublishError as error:
                self._outage.failed(error)
                self._failed.add(entry)
            else:
                if receipt is None:
                    is_done = False
                    break
                if not self._failed.has(entry):
                    receipts[entry.id] = receipt
        is_done = is_done and not self._failed
        if receipts:
            if is_done:
                self._outage.succeeded()
            self._mark(batch, receipts)
        if not self._batches:
            self._failed, self._is_whole = FailedPartitions(), True
        return is_done

    def _mark(self, batch: _Batch, receipts: dict[int, RecordMetadata]) -> None:
        failpoints.reached(FailPoint.OUTBOX_SENT_NOT_MARKED)
        seconds = time.monotonic() - batch.began_s
        published_at = self._store.mark_published(receipts)
        self._report(batch.entries, receipts, published_at, seconds)
        signals.entries_published.send_robust(
            type(self), entries=batch.entries, receipts=receipts, published_at=published_at, seconds=seconds
        )

    def _send(self, entries: Sequence[Entry], sent: list[tuple[Entry, Delivery]]) -> bool:
        """Add the sends under way to `sent`; return whether each entry was sent or parked."""
        bindings = configuration().bindings
        for name, of_binding in itertools.groupby(entries, key=lambda entry: entry.binding):
            remaining = list(of_binding)
            if name not in bindings:
                for entry in remaining:
                    self._park(entry, f"EVENT_STREAM['bindings'] has no {name!r}")
                continue
            while remaining:
                records, error = _encoded(name, remaining)
                deliveries = source(name).send_all(records) if records else []
                sent += zip(remaining, deliveries, strict=False)
                if len(deliveries) < len(records) or (deliveries and failed_at_once(deliveries[-1])):
                    return False
                # What can't be encoded has its turn after what comes before it.
                if error is not None and not self._park(remaining[len(records)], error):
                    return False
                remaining = remaining[len(records) + 1 :]
        return True

    def _result(self, delivery: Delivery) -> RecordMetadata | None:
        """None where the relay has to stop before the result is known. Raises PublishError."""
        while True:
            try:
                return delivery.result(_STOP_CHECK_S)
            except TimeoutError:
                if self._stop():
                    return None

    def _park(self, entry: Entry, error: object) -> bool:
        """Return whether the entry is parked.

        It is parked only once its fallback message is acknowledged, because heartbeats pass over parked entries.
        """
        receipt: RecordMetadata | None = None
        future = self._fallback_messages.send(entry)
        if future is not None:
            try:
                receipt = self._result(future)
            except UnsendableError as refusal:
                error = f"{error}. The fallback message can't be sent either: {refusal}"
            except PublishError as unavailable:
                self._outage.failed(unavailable)
                return False
            else:
                if receipt is None:
                    return False
        self._store.park(entry.id, str(error), receipt)
        self.parked += 1
        where = {"partition": receipt.partition, "offset": receipt.offset} if receipt else None
        logger.error("outbox.parked", extra={**_identity(entry), "error": str(error), "fallback_message": where})
        signals.entry_parked.send_robust(type(self), entry=entry, error=error)
        return True

    def _report(
        self,
        entries: Iterable[Entry],
        receipts: dict[int, RecordMetadata],
        published_at: dict[int, datetime],
        seconds: float,
    ) -> None:
        """One line a batch, with the correlation ids of its messages; the trace has each of them."""
        published = [entry for entry in entries if entry.id in published_at]
        if not published:
            return
        lags_ms = [_milliseconds(published_at[entry.id] - entry.written_at) for entry in published]
        extra = {
            "count": len(published),
            "correlation_ids": list(dict.fromkeys(entry.correlation_id for entry in published)),
            "oldest_lag_ms": max(lags_ms),
            "duration_s": round(seconds, 6),
        }
        logger.info("outbox.batch", extra=extra)
        if logger.isEnabledFor(logging.DEBUG):
            for entry, lag_ms in zip(published, lags_ms, strict=True):
                receipt = receipts[entry.id]
                where = {"destination": receipt.destination, "partition": receipt.partition, "offset": receipt.offset}
                logger.debug("outbox.published", extra={**_identity(entry), **where, "lag_ms": lag_ms})
        by_trigger = [entry for entry in published if entry.by_trigger]
        if by_trigger:
            correlation_ids = sorted({entry.correlation_id for entry in by_trigger})
            keys = [entry.key for entry in by_trigger[:_KEYS_SHOWN]]
            extra = {"count": len(by_trigger), "correlation_ids": correlation_ids, "keys": keys}
            logger.warning("outbox.by_trigger", extra=extra)


def _encoded(binding_name: str, entries: Sequence[Entry]) -> tuple[list[ProducerRecord], ConversionError | None]:
    """Return the records of entries, up to the first that can't be converted, and its error."""
    records: list[ProducerRecord] = []
    sender = source(binding_name)
    # Interceptors may ask for the context of the entry.
    needs_context = bool(configuration().bindings[binding_name].producer.interceptors)
    shared = user_context.sourced_headers()
    try:
        for entry in entries:
            if needs_context:
                with user_context.use(entry.context()):
                    records.append(sender.encode(entry.message(), shared))
            else:
                records.append(sender.encode(entry.message(), shared))
    except ConversionError as error:
        return records, error
    return records, None


class Heartbeats:
    """Tells consumers up to when the log is complete: one heartbeat to each partition, every interval.

    A heartbeat with `as_of` says: every transaction that was committed before `as_of` has its messages in the log
    already, before this heartbeat in each partition. Commit means the moment from which others see the transaction.

    `Store.as_of_us` computes it in one statement, as `LEAST(transaction_timestamp(), the oldest unsent entry's
    written_at)`. It holds because:

    1. The statement's clock is read before its snapshot is taken: the connection commits each statement by itself, and
       PostgreSQL reads transaction_timestamp() when the transaction begins. (clock_timestamp() would be read while the
       statement runs, and statement_timestamp() once more when a bound statement is executed. A commit between snapshot
       and clock would be older than `as_of` and not seen.) So every commit before `as_of` is in the snapshot.
    2. An entry's `written_at` is the clock at its insertion, never later than its transaction's commit. If an entry of
       a transaction committed before `as_of` were still unsent, its `written_at` would be at or below that commit, and
       `as_of` no higher: a contradiction. So each of them is published.
    3. An entry is marked published after its acknowledgement, and the heartbeat is sent after the snapshot. So the
       heartbeat lies behind the entry in the log.

    A transaction still open at the snapshot commits after `as_of`, and the heartbeat says nothing of it. Nothing is
    assumed of the sender: the heartbeat of a relay that has just lost the lead is as true as any other. The database's
    clock is assumed not to go back. Parked entries are passed over, or `as_of` would stand still until a person acts.
    The fallback message for a parked entry is acknowledged before it is parked, and so lies before the heartbeats that
    pass it.
    """

    def __init__(self, store: Store, outage: OutageLog, interval_s: float) -> None:
        self._store = store
        self._outage = outage
        self._interval_s = interval_s
        self._due_s = self._begun_s = time.monotonic()
        self._under_way: list[Future[RecordMetadata]] = []
        # A heartbeat is about records that a consumer can replay, so other platforms have no use for it.
        makers = producer_functions("heartbeat")
        self._makers = {name: make for name, make in makers.items() if source(name).channel.capabilities.seekable}

    def wait_s(self) -> float:
        """Return how long it is until the next heartbeat is due."""
        return max(0.0, self._due_s - time.monotonic()) if self._makers else self._interval_s

    def beat_if_due(self) -> None:
        """Send without waiting for acknowledgements; skip a beat while those of the last one are missing."""
        if not self._makers or self.wait_s() > 0:
            return
        self._due_s = time.monotonic() + self._interval_s
        if not all(future.done() for future in self._under_way):
            return
        failures = [error for future in self._under_way if (error := future.exception())]
        if failures:
            self._outage.failed(failures[0], begun_s=self._begun_s)
        elif self._under_way:
            self._outage.succeeded(begun_s=self._begun_s)
        self._under_way = []
        self._begun_s = time.monotonic()
        for binding, make in self._makers.items():
            self._send(binding, make)

    def _send(self, binding: str, make: Callable[[int], Any]) -> None:
        message = Message(make(self._store.as_of_us(binding)), headers=_HEARTBEAT_HEADERS)
        channel = source(binding)
        try:
            for partition in range(channel.partition_count()):
                future = channel.send(message, partition=partition)
                self._under_way.append(future)
                if future.done() and future.exception():
                    return
        except EventStreamError as error:
            if isinstance(error, ConfigurationError):
                raise
            self._outage.failed(error)


def _milliseconds(lag: timedelta) -> float:
    return round(lag.total_seconds() * 1000, 3)


def _identity(entry: Entry) -> dict[str, object]:
    return {
        "correlation_id": entry.correlation_id,
        "event_id": str(entry.event_id),
        "binding": entry.binding,
        "key": entry.key,
        "version": entry.version,
    }
