"""What a relay reports of itself, and of the outbox while it leads."""

import time
from collections.abc import Mapping, Sized
from typing import Any

from event_stream.operations import outbox
from event_stream.operations.models import Process
from event_stream.operations.reporting import reporter
from event_stream.operations.workers import Rate
from event_stream.outbox.relay import Relay
from event_stream.outbox.settings import outbox_settings

PUBLISHED, WAITING, AGE, PARKED = "outbox.published", "outbox.waiting", "outbox.age", "outbox.parked"


class RelayReport:
    """The subject of a relay. `polled` and what follows it are called on the relay's thread."""

    kind = Process.Kind.RELAY
    binding = ""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._published = 0
        self._polled_ms = 0
        self._parked_error = ""
        self._rate = Rate()
        self._sampled = 0
        settings = outbox_settings()
        self.configuration: Mapping[str, Any] = {
            "embedded": settings.embedded,
            "batch_size": settings.batch_size,
            "heartbeat_interval_s": settings.heartbeat_interval_s,
            "retention_hours": settings.retention_hours,
        }

    def polled(self) -> None:
        self._polled_ms = time.time_ns() // 1_000_000

    def published(self, count: int) -> None:
        self._published += count

    def parked(self, error: object) -> None:
        self._parked_error = str(error)

    def follow(self) -> None:
        """A relay can't be paused."""

    def state(self) -> Mapping[str, Any]:
        published = self._published
        return {
            "polled_ms": self._polled_ms,
            "leads": self._relay.is_leader,
            "published": published,
            "rate": round(self._rate.per_s(published, time.monotonic()), 2),
            "error": self._relay.outage or "",
            "parked_error": self._parked_error,
        }

    def samples(self) -> Mapping[str, float]:
        published = self._published
        values = {PUBLISHED: float(published - self._sampled)}
        self._sampled = published
        if self._relay.is_leader:
            # One row for all: the others would say the same.
            waiting = outbox.waiting()
            values |= {
                WAITING: float(waiting.count.number),
                AGE: waiting.age_s,
                PARKED: float(outbox.parked_count().number),
            }
        return values


# The receivers of the signals. A process has one relay at most.

_reports: dict[int, RelayReport] = {}
_published_before: list[int] = []
"""How many entries were published, by batch, before there was a report: a relay's first round begins with a batch."""


def on_polled(relay: Relay, **_kwargs: Any) -> None:
    report = _reports.get(id(relay))
    if report is None:
        for earlier in _reports.values():
            reporter().end(earlier)
        _reports.clear()
        report = _reports[id(relay)] = RelayReport(relay)
        report.published(sum(_published_before))
        _published_before.clear()
        reporter().add(report)
    report.polled()


def on_published(published_at: Sized, **_kwargs: Any) -> None:
    if not _reports:
        _published_before.append(len(published_at))
    for report in _reports.values():
        report.published(len(published_at))


def on_parked(error: object, **_kwargs: Any) -> None:
    for report in _reports.values():
        report.parked(error)
