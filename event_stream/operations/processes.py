"""What the pages know of the processes: the rows that they write about themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone

from event_stream.operations.models import Process
from event_stream.operations.settings import operations_settings

_MISSED_REPORTS = 5
_LEAST_S = 10.0
_GONE_SHOWN = 10
_MOST = 500


@dataclass(frozen=True, slots=True)
class Seen:
    """A process's row, and whether it is there: it told of itself a moment ago, and has not ended."""

    process: Process
    is_there: bool

    @property
    def condition(self) -> str:
        if self.process.stopped_at is not None:
            return "stopped"
        return "running" if self.is_there else "gone"

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.process.state
        return state

    @property
    def polled_at(self) -> datetime | None:
        """When its loop went round last; a handler or a server that hangs holds it up."""
        polled_ms = self.state.get("polled_ms")
        return moment(polled_ms) if polled_ms else None


def silent_after() -> timedelta:
    """How long a process may say nothing until it is taken for gone."""
    return timedelta(seconds=max(_LEAST_S, _MISSED_REPORTS * operations_settings().status_interval_s))


def seen_processes(*kinds: Process.Kind) -> list[Seen]:
    """The running ones, then the last that ended; of all kinds where none is named."""
    now, silent = timezone.now(), silent_after()
    rows = Process.objects.filter(kind__in=kinds) if kinds else Process.objects.all()
    running: list[Seen] = []
    ended: list[Seen] = []
    for process in rows.order_by("-seen_at")[:_MOST]:
        is_there = process.stopped_at is None and process.seen_at >= now - silent
        (running if is_there else ended).append(Seen(process, is_there))
    running.sort(key=lambda seen: (seen.process.kind, seen.process.host, seen.process.pid))
    return [*running, *ended[:_GONE_SHOWN]]


def running(seen: Iterable[Seen]) -> list[Seen]:
    return [process for process in seen if process.is_there]


def moment(ms: float) -> datetime:
    """Of a time in milliseconds since the Unix epoch."""
    return datetime.fromtimestamp(ms / 1000, UTC)
