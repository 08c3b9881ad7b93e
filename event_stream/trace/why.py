"""Why an answer had the version that it had: the event that made it, and the watermark that proves it current."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from event_stream.conf import import_dotted
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import FencedCache
from event_stream.fenced_cache.explain import Explanation, explain
from event_stream.trace.inquiry import find_changes
from event_stream.trace.models import CacheFill
from event_stream.trace.parts import Change, Missing
from event_stream.trace.settings import trace_settings


@dataclass(frozen=True, slots=True)
class Reasons:
    """About one answer: `version` of `key`, proven current at `fresh_at` (None where the answer did not say)."""

    key: str
    version: int
    fresh_at: datetime | None
    event: Change | None
    """The change that made the version; None where its message is no longer kept."""
    successor: Change | None
    """The next change of the key, as far as it is known."""
    fill: CacheFill | None
    """The first lookup that brought the version into the cache."""
    cache: Explanation | None
    """What the cache holds now; None in a service without one, or while it can't be asked."""
    cache_problem: str
    missing: tuple[Missing, ...]

    @property
    def watermark_has_event(self) -> bool | None:
        """Whether the worker has applied the event by now; None where that can't be said."""
        if self.event is None or self.event.offset is None or self.cache is None or self.cache.watermark is None:
            return None
        return self.cache.watermark.offset >= self.event.offset

    def lines(self) -> Iterator[str]:
        """Yield sentences, from the event to the proof."""
        yield from self._of_event()
        yield from self._of_fill()
        yield from self._of_successor()
        yield from self._of_watermark()
        for service in self.missing:
            yield f"{service.service} can't be asked: {service.problem}"

    def _of_event(self) -> Iterator[str]:
        if self.event is None:
            yield f"no event of version {self.version} is kept: it is older than the outbox keeps, or was never sent"
            return
        by = f" by {self.event.user}" if self.event.user else ""
        yield f"version {self.version} was written at {_clock(self.event.written_at)}{by}, {self.event.correlation_id}"
        if self.event.offset is not None:
            yield (
                f"its event lies in {self.event.destination}, partition {self.event.partition}, offset "
                f"{self.event.offset}"
            )

    def _of_fill(self) -> Iterator[str]:
        if self.fill is not None:
            yield (
                f"it came into the cache at {_clock(self.fill.filled_at)}, with the lookup {self.fill.correlation_id} "
                f"in {self.fill.process}"
            )

    def _of_successor(self) -> Iterator[str]:
        if self.successor is None:
            yield "no later version is known"
            return
        after = f"the next version, {self.successor.version}, was written at {_clock(self.successor.written_at)}"
        if self.fresh_at is None:
            yield after
        elif self.fresh_at <= self.successor.written_at:
            yield f"{after}: after {_clock(self.fresh_at)}, when this answer was current"
        else:
            yield (
                f"{after}, before {_clock(self.fresh_at)}, when this answer is said to have been current: the change "
                "was committed later than it was written, or the answer was stale"
            )

    def _of_watermark(self) -> Iterator[str]:
        if self.cache_problem:
            yield f"the cache can't be asked: {self.cache_problem}"
        if self.cache is None:
            return
        yield from self.cache.lines()
        if self.watermark_has_event and self.event is not None:
            yield (
                f"the watermark is past offset {self.event.offset}: the event is applied, and nothing older than "
                f"version {self.version} can be a hit"
            )
        elif self.watermark_has_event is False and self.event is not None:
            yield f"the watermark is before offset {self.event.offset}: the event is still to be applied"


def find_reasons(key: str, version: int, fresh_at: datetime | None = None) -> Reasons:
    """Ask the producer, this service's recording, and its cache. Raises django.db.Error."""
    latest = find_changes(key)
    made, missing = [change for change in latest.changes if change.version == version], latest.missing
    if not made:
        # It is older than the latest ones.
        older = find_changes(key, version)
        made, missing = list(older.changes), older.missing
    later = [change for change in latest.changes if (change.version or 0) > version]
    cache, problem = _cache_of(key)
    return Reasons(
        key=key,
        version=version,
        fresh_at=fresh_at,
        event=made[0] if made else None,
        successor=min(later, key=lambda change: change.version or 0, default=None),
        fill=CacheFill.objects.filter(key=key, version=version).first(),
        cache=cache,
        cache_problem=problem,
        missing=missing,
    )


def _cache_of(key: str) -> tuple[Explanation | None, str]:
    dotted = trace_settings().cache
    if dotted is None:
        return None, ""
    complaint = f"EVENT_STREAM_TRACE['cache'] is {dotted!r}; it should be the dotted path of a function"
    cache: FencedCache = import_dotted(dotted, complaint)()
    try:
        return explain(cache, key), ""
    except UnavailableError as error:
        return None, str(error)


def _clock(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03} UTC"
