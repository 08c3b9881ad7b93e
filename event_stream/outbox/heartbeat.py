"""Tells consumers up to when the log is complete.

A heartbeat with `as_of` says: every transaction that was committed before `as_of` has its messages in the log already,
before this heartbeat in each partition. Commit means the moment from which others see the transaction.

One statement makes it, `LEAST(transaction_timestamp(), the oldest unsent entry's written_at)`, and it holds because:

1. Its clock is read before its snapshot is taken: the connection commits each statement by itself, and PostgreSQL reads
   transaction_timestamp() when the transaction begins. (clock_timestamp() would be read while the statement runs, and
   statement_timestamp() once more when a bound statement is executed: a commit between snapshot and clock would be
   older than `as_of` and not seen.) So what was committed before `as_of` is in the snapshot.
2. An entry's `written_at` is the clock of the moment it was inserted, never later than its transaction's commit. Were
   one of a transaction committed before `as_of` still unsent, its `written_at` would be at or below that commit, and
   `as_of` no higher: a contradiction. So each of them is published.
3. An entry is marked published after its acknowledgement, and the heartbeat is sent after the snapshot. So it lies
   behind it in the log.

A transaction still open at the snapshot commits after `as_of`, and nothing is said of it. Nor is anything assumed of
who sends: the heartbeat of a relay that has just lost the lead is as true as any other. What is assumed is a database
clock that does not go back. Parked entries are passed over: `as_of` would stand still until a person comes. What stands
in for one (`stand_in`) is acknowledged before it is parked, and so lies before the heartbeats that pass it.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from event_stream import correlation
from event_stream.bindable import source
from event_stream.errors import ConfigurationError, EventStreamError
from event_stream.message import Message, Receipt
from event_stream.outbox.outage import Outage
from event_stream.outbox.owner import functions
from event_stream.outbox.store import Store

# No transaction stands behind it; a minted id would look like one.
_HEADERS = {correlation.CORRELATION_ID: ""}


class Heartbeats:
    """One for each binding that asks for it, to every partition, each interval."""

    def __init__(self, store: Store, outage: Outage, interval_s: float) -> None:
        self._store = store
        self._outage = outage
        self._interval_s = interval_s
        self._due_s = self._begun_s = time.monotonic()
        self._under_way: list[Future[Receipt]] = []
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
