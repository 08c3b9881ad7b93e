"""How far the log is applied to a cache, computed when it is asked for."""

from collections.abc import Callable, Iterator

from event_stream.fenced_cache import FencedCache
from event_stream.metrics import names
from event_stream.metrics.exposition import Sample


class CacheSource:
    """Asks Redis for the watermark of each partition. `has_log`: whether a log keeps entries fresh at all."""

    name = "cache"

    def __init__(self, cache: Callable[[], FencedCache], *, has_log: Callable[[], bool] = lambda: True) -> None:
        self._cache = cache
        self._has_log = has_log
        # A count that begins with its first event has no rate at that event.
        for result in names.LOOKUP_RESULTS:
            names.CACHE_LOOKUP_SECONDS.labels(result)
        for outcome in names.FILL_OUTCOMES:
            names.CACHE_FILLS.labels(outcome)
        for circuit in names.CIRCUITS:
            names.CIRCUIT_OPEN.labels(circuit)
        for result in names.KEPT_RESULTS:
            names.CACHE_ANSWER_AGE_SECONDS.labels(result)
        names.ORIGIN_CALLS.labels("answered")

    def read(self) -> Iterator[Sample]:
        cache = self._cache()
        yield Sample(names.MAX_STALENESS, cache.settings.max_staleness_s)
        if not self._has_log():
            return
        missing = 0
        for partition in range(cache.keys.partitions):
            watermark = cache.watermark(partition)
            if watermark is None or not cache.is_own(watermark):
                missing += 1
                continue
            labels = (str(partition),)
            yield Sample(names.WATERMARK_OFFSET, watermark.offset, labels)
            if watermark.as_of_ms:
                age_s = (cache.clock.now_ms() - watermark.as_of_ms) / 1000
                yield Sample(names.WATERMARK_AGE, max(0.0, age_s), labels)
        yield Sample(names.WATERMARKS_MISSING, missing)
