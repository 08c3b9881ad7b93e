"""A fenced cache on the operations pages: an app names it in `AppConfig.ready`.

    observe_cache(ObservedCache(binding="inboundOrders", noun="order", ...))

Its page is there from then on, and the workers of the binding sample how far its watermarks are behind.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from event_stream.consumer.pauses import pauses_of
from event_stream.errors import UnavailableError
from event_stream.fenced_cache import FencedCache, Found
from event_stream.operations import workers
from event_stream.operations.pages import register

STALENESS = "cache.staleness"


@dataclass(frozen=True, slots=True)
class ObservedCache:
    """`lookup` finds an id as a request does; it raises EventStreamError or UnavailableError. `canonical_id` returns
    how the cache spells an id that a person typed, or None for what is no id."""

    binding: str
    """Whose worker applies changes to it."""
    noun: str
    """What an id stands for."""
    cache: Callable[[], FencedCache]
    lookup: Callable[[str], Found]
    canonical_id: Callable[[str], str | None]
    has_log: Callable[[], bool]
    """Whether a log keeps it fresh, and so there are watermarks."""


@dataclass(frozen=True, slots=True)
class WatermarkRow:
    """`age_s` is how long ago everything was applied; None where that is not known, and nothing is kept fresh."""

    partition: int
    offset: int | None
    age_s: float | None
    is_fresh: bool
    is_paused: bool
    explanation: str


def watermarks(observed: ObservedCache) -> Sequence[WatermarkRow]:
    """One row a partition. Raises UnavailableError."""
    cache, paused = observed.cache(), pauses_of(observed.binding)
    now_ms, max_staleness_s = cache.clock.now_ms(), cache.settings.max_staleness_s
    rows = []
    for partition in range(cache.keys.partitions):
        mark = cache.watermark(partition)
        age_s: float | None = None
        if mark is None:
            explanation = "none: the worker has not read this partition, or Redis lost it"
        elif not cache.is_own(mark):
            explanation = "a worker with other settings wrote it"
        elif not mark.as_of_ms:
            explanation = "no heartbeat has come yet"
        else:
            age_s = (now_ms - mark.as_of_ms) / 1000
            is_late = abs(age_s) > max_staleness_s
            explanation = "lookups ask the origin each time" if is_late else "keeps entries fresh"
        is_fresh = age_s is not None and abs(age_s) <= max_staleness_s
        offset = None if mark is None else mark.offset
        rows.append(WatermarkRow(partition, offset, age_s, is_fresh, partition in paused, explanation))
    return rows


_observed: list[ObservedCache] = []


def observe_cache(observed: ObservedCache) -> None:
    """Show this cache on a page, and sample how stale it can be."""
    # The page is about what is here.
    from event_stream.operations.pages.cache import CachePage  # noqa: PLC0415

    _observed[:] = [observed]
    register(CachePage())

    def staleness() -> Mapping[str, float]:
        if not observed.has_log():
            return {}
        try:
            ages = [row.age_s for row in watermarks(observed) if row.age_s is not None]
        except UnavailableError:
            # The page and the worker's log say so.
            return {}
        return {STALENESS: max(ages)} if ages else {}

    workers.sample_also(observed.binding, staleness)


def observed_cache() -> ObservedCache | None:
    return _observed[0] if _observed else None
