"""The thread of a process that writes what the process does, and reads what a person wants of it.

The database may be away or slow without holding anything up: only this thread waits for it. What could not be written
is counted, and the pages say so.
"""

import atexit
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import Error, connections
from django.utils import timezone

from event_stream.operations import series
from event_stream.operations.models import Process, Settlement
from event_stream.operations.refreshes import RefreshFollower
from event_stream.operations.settings import OperationsSettings, operations_settings
from event_stream.outage_log import OutageLog

logger = logging.getLogger("event_stream.operations")

_PURGE_EVERY_S = 60.0
_FINAL_REPORT_S = 0.5
"""A stopped worker has to be gone within two seconds."""


class Subject(Protocol):
    """What a row is about: the worker, the relay or the web part of this process. Called on the reporter's thread."""

    @property
    def kind(self) -> Process.Kind: ...

    @property
    def binding(self) -> str: ...

    @property
    def configuration(self) -> Mapping[str, Any]: ...

    def follow(self) -> None:
        """Read from the database what a person wants, and do it. Raises django.db.Error."""

    def state(self) -> Mapping[str, Any]:
        """Return what the row says, as JSON can."""

    def samples(self) -> Mapping[str, float]:
        """Return a value a series, for the time since the last call. May ask the database: raises its errors."""


@dataclass(slots=True)
class _Report:
    subject: Subject
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    started_at: datetime = field(default_factory=timezone.now)
    missed: int = 0
    ended: bool = False
    tried: threading.Event = field(default_factory=threading.Event)
    """The first report was written, or could not be."""
    over: threading.Event = field(default_factory=threading.Event)
    """So was the last one."""

    def row(self, *, final: bool, configuration: Mapping[str, Any]) -> Process:
        now = timezone.now()
        return Process(
            id=self.id,
            kind=self.subject.kind,
            binding=self.subject.binding,
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=self.started_at,
            seen_at=now,
            stopped_at=now if final else None,
            missed=self.missed,
            state={**self.subject.state(), **configuration},
            configuration=self.subject.configuration,
        )


class Reporter:
    """Reports of any number of subjects of this process. Its thread runs while there is one."""

    def __init__(self, settings: OperationsSettings | None = None) -> None:
        self._settings = settings or operations_settings()
        self._lock = threading.Lock()
        self._reports: list[_Report] = []
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._outage = OutageLog(logger, began="operations.not_recorded", ended="operations.recorded")
        self._bucket = self._bucket_now()
        self._purge_at_s = 0.0
        self._refreshes = RefreshFollower()

    @property
    def status_interval_s(self) -> float:
        return self._settings.status_interval_s

    def add(self, subject: Subject, *, wait_s: float = 0.0) -> None:
        """Report of it from now on. Waits up to `wait_s` for it to have followed what a person wants of it."""
        report = _Report(subject)
        with self._lock:
            self._reports.append(report)
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="operations-reporter", daemon=True)
                self._thread.start()
        report.tried.wait(wait_s)

    def end(self, subject: Subject) -> None:
        """Write its last report, for which this waits a moment at most."""
        self._end(lambda report: report.subject is subject)

    def end_all(self) -> None:
        """For the end of the process."""
        self._end(lambda _report: True)

    def _end(self, chosen: Callable[[_Report], bool]) -> None:
        with self._lock:
            reports = [report for report in self._reports if chosen(report)]
            for report in reports:
                report.ended = True
            self._wake.set()
        until_s = time.monotonic() + _FINAL_REPORT_S
        for report in reports:
            report.over.wait(max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        while True:
            with self._lock:
                reports = list(self._reports)
                ended = [report for report in reports if report.ended]
            self._report(reports, ended)
            with self._lock:
                self._reports = [report for report in self._reports if report not in ended]
                if is_last := not self._reports:
                    self._thread = None
            for report in reports:
                report.tried.set()
            for report in ended:
                report.over.set()
            if is_last:
                return
            self._wake.wait(self._settings.status_interval_s)
            self._wake.clear()

    def _report(self, reports: Sequence[_Report], ended: Sequence[_Report]) -> None:
        try:
            self._refreshes.follow()
            for report in reports:
                report.subject.follow()
            configuration = self._refreshes.state()
            self._write([report.row(final=report in ended, configuration=configuration) for report in reports])
            self._sample(reports, ended)
            self._purge_if_due()
        except Error as error:
            for report in reports:
                report.missed += 1
            self._outage.failed(error)
        else:
            self._outage.succeeded()
        finally:
            # One is made for each report: an idle connection of every process would take the place of others.
            connections.close_all()

    def _write(self, rows: Sequence[Process]) -> None:
        Process.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["id"],
            update_fields=["seen_at", "stopped_at", "missed", "state", "configuration"],
        )

    def _sample(self, reports: Sequence[_Report], ended: Sequence[_Report]) -> None:
        bucket = self._bucket_now()
        if bucket > self._bucket:
            self._bucket = bucket
            for report in reports:
                series.record(report.id, bucket, report.subject.samples())
        for report in ended:
            # What it has counted since then belongs to the interval that is not over yet.
            next_bucket = bucket + timedelta(seconds=self._settings.sample_interval_s)
            series.record(report.id, next_bucket, report.subject.samples())

    def _purge_if_due(self) -> None:
        if time.monotonic() < self._purge_at_s:
            return
        size, kept = self._settings.purge_batch_size, timedelta(days=self._settings.retention_days)
        now = timezone.now()
        purged = series.purge(kept, now, size)
        Process.objects.filter(seen_at__lt=now - kept).delete()
        Settlement.objects.filter(started_at__lt=now - kept).delete()
        # A full batch means that there is more: the next one is due with the next report.
        self._purge_at_s = 0.0 if purged == size else time.monotonic() + _PURGE_EVERY_S

    def _bucket_now(self) -> datetime:
        return series.bucket(timezone.now(), self._settings.sample_interval_s)


_lock = threading.Lock()
_reporter: Reporter | None = None


def reporter() -> Reporter:
    """Return this process's, made when it is first asked for. Raises ConfigurationError for a wrong setting."""
    global _reporter  # noqa: PLW0603 - one for each process
    with _lock:
        if _reporter is None:
            _reporter = Reporter()
            atexit.register(_reporter.end_all)
        return _reporter


def _begin_anew() -> None:
    global _reporter  # noqa: PLW0603 - the parent's thread is not the child's
    _reporter = None
    _lock.release()


os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_begin_anew)
