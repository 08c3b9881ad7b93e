"""Sends entries, waits for the acknowledgements, and marks what arrived."""

import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Literal

from django.utils.module_loading import import_string

from event_stream import failpoints, user_context
from event_stream.conf import SETTING, configuration
from event_stream.errors import (
    ConfigurationError,
    ConversionError,
    EventStreamError,
    PublishError,
    UnavailableError,
    UnsendableError,
)
from event_stream.failpoints import FailPoint
from event_stream.messaging.message import Message, RecordMetadata
from event_stream.messaging.partitioner import partition_for
from event_stream.messaging.source import source
from event_stream.outbox.store import Entry, Store

# What is sent in the place of an entry that can't be, so that whoever keeps copies lets go of them.

logger = logging.getLogger("event_stream.outbox")


class FallbackMessages:
    """For the bindings whose owner says in `producer.stand_in` what the least is that such a message has to tell."""

    def __init__(self) -> None:
        self._makers = functions("stand_in")

    def send(self, entry: Entry) -> "Future[RecordMetadata] | None":
        """Under the key of the entry, and so to its partition. None where nothing can stand in for it."""
        make = self._makers.get(entry.binding)
        if make is None:
            return None
        try:
            # Of the headers the one that ties a transaction together: another may be what made the entry too large.
            headers = {user_context.CORRELATION_ID: entry.correlation_id}
            message = Message(make(entry.payload), key=entry.key or None, headers=headers)
            with user_context.use(entry.context()):
                return source(entry.binding).send(message)
        except Exception:
            # Whatever is wrong with one message, or with its owner's function, the relay goes on with the others.
            logger.exception("outbox.no_stand_in", extra={"binding": entry.binding, "key": entry.key})
            return None


# Functions that the owner of a binding names in its producer settings, and the relay calls.

_TAKES = {"heartbeat": "as_of_us", "stand_in": "a payload"}


def functions(key: Literal["heartbeat", "stand_in"]) -> dict[str, Callable[[Any], Any]]:
    """By the names of the bindings that name one. Raises ConfigurationError for a path that leads to none."""
    paths = {name: getattr(binding.producer, key) for name, binding in configuration().bindings.items()}
    return {name: _function(name, key, path) for name, path in paths.items() if path}


def _function(binding: str, key: str, path: str) -> Callable[[Any], Any]:
    setting = f"{SETTING}['bindings'][{binding!r}]['producer'][{key!r}]"
    try:
        made = import_string(path)
    except ImportError as error:
        raise ConfigurationError(f"{setting} is {path!r}; it should be the path of a function ({error})") from error
    if not callable(made):
        raise ConfigurationError(
            f"{setting} is {path!r}, which can't be called; it should be a function of {_TAKES[key]}"
        )
    result: Callable[[Any], Any] = made
    return result


# An outage is told of once when it begins and once when it is over, however often it is met.


class Outage:
    """Of one server.

    `begun_s` says (on the monotonic clock) when that was begun whose end is reported. What was under way already when
    the outage began, or when it was over, may have ended as it would have before.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._since_s: float | None = None
        self._changed_s = -math.inf

    def met(self, error: object, *, begun_s: float = math.inf) -> None:
        if self._since_s is None and begun_s >= self._changed_s:
            self._since_s = self._changed_s = time.monotonic()
            logger.warning("outbox.unreachable", extra={"server": self._server, "error": str(error)})

    def over(self, *, begun_s: float = math.inf) -> None:
        if self._since_s is not None and begun_s >= self._changed_s:
            self._changed_s = time.monotonic()
            down_s = round(self._changed_s - self._since_s, 3)
            self._since_s = None
            logger.info("outbox.reachable", extra={"server": self._server, "down_s": down_s})


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
        self._stand_ins = FallbackMessages()
        self.parked = 0

    def publish(self, entries: Sequence[Entry]) -> bool:
        """Whether every entry is published or parked; otherwise the rest is to be tried again."""
        sent, complete = self._send(entries)
        receipts: dict[int, RecordMetadata] = {}
        blocked = FailedPartitions()
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
            failpoints.reached(FailPoint.OUTBOX_SENT_NOT_MARKED)
            self._report(entries, receipts, self._store.mark_published(receipts))
        return complete and not blocked

    def _send(self, entries: Iterable[Entry]) -> tuple[list[tuple[Entry, "Future[RecordMetadata]"]], bool]:
        """What is under way, and whether that is everything: there is no use in going on when no server answers."""
        sent: list[tuple[Entry, Future[RecordMetadata]]] = []
        bindings = configuration().bindings
        for entry in entries:
            if entry.binding not in bindings:
                self._park(entry, f"EVENT_STREAM['bindings'] has no {entry.binding!r}")
                continue
            try:
                with user_context.use(entry.context()):
                    future = source(entry.binding).send(entry.message())
            except ConversionError as error:
                if not self._park(entry, error):
                    return sent, False
                continue
            sent.append((entry, future))
            if future.done() and not isinstance(future.exception(), UnsendableError | None):
                return sent, False
        return sent, True

    def _result(self, future: "Future[RecordMetadata]") -> RecordMetadata | None:
        """None where the relay was told to stop before the end was known. Raises PublishError."""
        while True:
            try:
                return future.result(_STOP_CHECK_S)
            except TimeoutError:
                if self._stop():
                    return None

    def _park(self, entry: Entry, error: object) -> bool:
        """Whether it is parked: only once what stands in for it is acknowledged, as heartbeats pass a parked entry."""
        receipt: RecordMetadata | None = None
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
        self, entries: Iterable[Entry], receipts: dict[int, RecordMetadata], published_at: dict[int, datetime]
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


class FailedPartitions:
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


# Tells consumers up to when the log is complete.
#
# A heartbeat with `as_of` says: every transaction that was committed before `as_of` has its messages in the log
# already, before this heartbeat in each partition. Commit means the moment from which others see the transaction.
#
# One statement makes it, `LEAST(transaction_timestamp(), the oldest unsent entry's written_at)`, and it holds because:
#
# 1. Its clock is read before its snapshot is taken: the connection commits each statement by itself, and PostgreSQL
# reads
#    transaction_timestamp() when the transaction begins. (clock_timestamp() would be read while the statement runs, and
#    statement_timestamp() once more when a bound statement is executed: a commit between snapshot and clock would be
#    older than `as_of` and not seen.) So what was committed before `as_of` is in the snapshot.
# 2. An entry's `written_at` is the clock of the moment it was inserted, never later than its transaction's commit. Were
#    one of a transaction committed before `as_of` still unsent, its `written_at` would be at or below that commit, and
#    `as_of` no higher: a contradiction. So each of them is published.
# 3. An entry is marked published after its acknowledgement, and the heartbeat is sent after the snapshot. So it lies
#    behind it in the log.
#
# A transaction still open at the snapshot commits after `as_of`, and nothing is said of it. Nor is anything assumed of
# who sends: the heartbeat of a relay that has just lost the lead is as true as any other. What is assumed is a database
# clock that does not go back. Parked entries are passed over: `as_of` would stand still until a person comes. What
# stands in for one (`stand_in`) is acknowledged before it is parked, and so lies before the heartbeats that pass it.

# No transaction stands behind it; a minted id would look like one.
_HEADERS = {user_context.CORRELATION_ID: ""}


class Heartbeats:
    """One for each binding that asks for it, to every partition, each interval."""

    def __init__(self, store: Store, outage: Outage, interval_s: float) -> None:
        self._store = store
        self._outage = outage
        self._interval_s = interval_s
        self._due_s = self._begun_s = time.monotonic()
        self._under_way: list[Future[RecordMetadata]] = []
        # They vouch for what a reader has replayed: who can't go back has no use for them.
        makers = functions("heartbeat")
        self._makers = {name: make for name, make in makers.items() if source(name).channel.capabilities.seekable}

    def wait_s(self) -> float:
        """How long until the next is due."""
        return max(0.0, self._due_s - time.monotonic()) if self._makers else self._interval_s

    def beat_if_due(self) -> None:
        """Does not wait for acknowledgements; a beat is left out while those of the last one are missing."""
        if not self._makers or self.wait_s() > 0:
            return
        self._due_s = time.monotonic() + self._interval_s
        if not all(future.done() for future in self._under_way):
            return
        failures = [error for future in self._under_way if (error := future.exception())]
        if failures:
            self._outage.met(failures[0], begun_s=self._begun_s)
        elif self._under_way:
            self._outage.over(begun_s=self._begun_s)
        self._under_way = []
        self._begun_s = time.monotonic()
        for binding, make in self._makers.items():
            self._send(binding, make)

    def _send(self, binding: str, make: Callable[[int], Any]) -> None:
        message = Message(make(self._store.as_of_us(binding)), headers=_HEADERS)
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
            self._outage.met(error)
