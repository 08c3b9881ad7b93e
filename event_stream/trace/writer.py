"""Writes rows in the background: what is recorded holds up neither a batch nor a request.

A kill loses the rows of the last moment, a second at most. The trace then says from the worker's position that a
message was applied, and not when.

Log events, on logger "event_stream.trace": trace.not_recorded, trace.recorded_again, trace.dropped, trace.purged.
"""

import atexit
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import cast

from django.db import DataError, Error, IntegrityError, connections, models
from django.utils import timezone

from event_stream.database_connections import database_connections
from event_stream.outage_log import OutageLog
from event_stream.trace.models import CacheFill, HandledBatch, ParkedRecord, PartitionState, SettledRecord
from event_stream.trace.settings import TraceSettings, trace_settings

logger = logging.getLogger("event_stream.trace")

_CLOSE_TIMEOUT_S = 1.0
_ROWS_AT_ONCE = 500
_PURGED_BY: Sequence[tuple[type[models.Model], str]] = (
    (HandledBatch, "handled_at"),
    (ParkedRecord, "parked_at"),
    (SettledRecord, "settled_at"),
    (CacheFill, "filled_at"),
    (PartitionState, "seen_at"),
)


class Writer:
    """Takes rows from any thread. Its own thread starts with the first row and writes whatever has gathered.

    The first row after a pause is written at once, further ones every `write_interval_s`. While the database is away,
    rows wait until there are `buffer_size`; the rest is dropped and counted.
    """

    def __init__(self, settings: TraceSettings) -> None:
        self._settings = settings
        self._rows: deque[models.Model] = deque()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._outage = OutageLog(logger, began="trace.not_recorded", ended="trace.recorded_again")
        self._dropped = 0
        self._purge_at_s = 0.0

    @property
    def waiting(self) -> Sequence[models.Model]:
        """The rows that are not written yet."""
        return self._rows

    def add(self, row: models.Model) -> None:
        if len(self._rows) >= self._settings.buffer_size:
            self._drop(1)
            return
        self._rows.append(row)
        if self._thread is None:
            self._start()
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what is there, for as long as that takes but no more than a second."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_TIMEOUT_S)

    def write(self) -> bool:
        """Write the rows that wait, on this thread. False where the database is away, and they go on waiting."""
        while rows := self._take():
            try:
                _insert(rows)
            except Exception as error:
                if isinstance(error, Error) and not isinstance(error, DataError | IntegrityError):
                    self._put_back(rows)
                    self._outage.failed(error)
                    return False
                # No later attempt can do better, and the thread has to go on.
                logger.exception("trace.dropped", extra={"count": len(rows)})
            else:
                self._outage.succeeded()
        return True

    def purge(self) -> None:
        """Delete one small batch of each kind that is old enough. Raises django.db.Error."""
        limit, is_more = self._settings.purge_batch_size, False
        oldest = timezone.now() - self._settings.retention
        for model, field in _PURGED_BY:
            old = model._default_manager.filter(**{f"{field}__lt": oldest}).order_by(field).values("pk")[:limit]
            count, _ = model._default_manager.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
            if count:
                logger.info("trace.purged", extra={"rows": model._meta.db_table, "count": count})
            is_more = is_more or count == limit
        if not is_more:
            self._purge_at_s = time.monotonic() + self._settings.purge_interval_s

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait(self._settings.purge_interval_s)
            self._wake.clear()
            with database_connections():
                if self.write():
                    self._purge_if_due()
            self._stop.wait(self._settings.write_interval_s)
            if not self._rows:
                # An idle process keeps no connection for this.
                connections.close_all()
        with database_connections():
            self.write()
        connections.close_all()

    def _purge_if_due(self) -> None:
        if time.monotonic() < self._purge_at_s:
            return
        try:
            self.purge()
        except Error as error:
            self._outage.failed(error)

    def _take(self) -> list[models.Model]:
        return [self._rows.popleft() for _ in range(min(len(self._rows), _ROWS_AT_ONCE))]

    def _put_back(self, rows: list[models.Model]) -> None:
        room = self._settings.buffer_size - len(self._rows)
        if room < len(rows):
            # The newest are of more use.
            self._drop(len(rows) - max(0, room))
            rows = rows[len(rows) - max(0, room) :]
        self._rows.extendleft(reversed(rows))

    def _drop(self, count: int) -> None:
        before, self._dropped = self._dropped, self._dropped + count
        # At the first, then at every tenfold number.
        if before == 0 or len(str(before)) < len(str(self._dropped)):
            logger.warning("trace.dropped", extra={"count": self._dropped, "reason": "the database does not take them"})


def _insert(rows: Iterable[models.Model]) -> None:
    """One statement for each kind. Raises django.db.Error."""
    by_kind: dict[type[models.Model], list[models.Model]] = {}
    for row in rows:
        by_kind.setdefault(type(row), []).append(row)
    for kind, of_kind in by_kind.items():
        if kind is PartitionState:
            _insert_states(cast("list[PartitionState]", of_kind))
        else:
            # A batch that was redelivered has parked the same records; a fill that is there already was earlier.
            ignored = kind in {ParkedRecord, CacheFill}
            kind._default_manager.bulk_create(of_kind, ignore_conflicts=ignored)


def _insert_states(states: Sequence[PartitionState]) -> None:
    newest = {(state.destination, state.group, state.partition): state for state in states}
    # In one order in every process, so that two never wait for each other.
    PartitionState.objects.bulk_create(
        [newest[place] for place in sorted(newest)],
        update_conflicts=True,
        unique_fields=["destination", "group", "partition"],
        update_fields=["position", "seen_at", "process", "paused_at", "reason", "stopped"],
    )


_making = threading.Lock()
_writer: Writer | None = None


def process_writer() -> Writer:
    """Return this process's writer, made when it is first needed: no thread outlives a fork."""
    global _writer  # noqa: PLW0603 - one for each process
    if _writer is None:
        with _making:
            if _writer is None:
                _writer = Writer(trace_settings())
                atexit.register(_writer.close)
    return _writer


def _forget_parents() -> None:
    global _writer, _making
    if _writer is not None:
        atexit.unregister(_writer.close)
    _writer, _making = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_parents)
