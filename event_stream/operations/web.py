"""What a web process reports of itself: which lookups it answered, and what became of the answers it got."""

import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

from event_stream import signals
from event_stream.operations.models import Process
from event_stream.operations.reporting import reporter
from event_stream.operations.settings import operations_settings

LOOKUPS, FILLS = "cache.lookups.", "cache.fills."
FAILED = "failed"
"""A lookup that neither the cache nor the origin had an answer for."""
UNKNOWN = "unknown"
"""A fill of which Redis has not told the outcome."""


class WebReport:
    """The subject of a web process. The receivers are called on the threads of requests."""

    kind = Process.Kind.WEB
    binding = ""
    configuration: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._sampled: Counter[str] = Counter()

    def lookup_answered(self, found: Any, error: Any, **_kwargs: Any) -> None:
        # An older version than the caller has seen is an answer of the origin's all the same.
        answer = found or getattr(error, "found", None)
        self._count(LOOKUPS + (FAILED if answer is None else answer.source.value))

    def cache_filled(self, outcome: Any, **_kwargs: Any) -> None:
        self._count(FILLS + (UNKNOWN if outcome is None else outcome.name.lower()))

    def follow(self) -> None:
        """A web process can't be paused."""

    def state(self) -> Mapping[str, Any]:
        with self._lock:
            return dict(self._counts)

    def samples(self) -> Mapping[str, float]:
        with self._lock:
            counts = self._counts.copy()
        values = {series: float(count - self._sampled[series]) for series, count in counts.items()}
        self._sampled = counts
        return values

    def _count(self, series: str) -> None:
        with self._lock:
            self._counts[series] += 1


def report_web_process() -> None:
    """Report of this process from now on. Call it in wsgi.py, in each process that answers requests."""
    if not operations_settings().reports:
        return
    report = WebReport()
    # Strong: nobody else keeps it.
    signals.lookup_answered.connect(report.lookup_answered, weak=False)
    signals.cache_filled.connect(report.cache_filled, weak=False)
    reporter().add(report)
