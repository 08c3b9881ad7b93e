"""Notices that workers of another log move the watermarks that this one keeps: each undoes the other's work."""

import logging
from collections import deque

from event_stream.fenced_cache.cache import FencedCache
from event_stream.outage_log import OutageLog

logger = logging.getLogger("event_stream.fenced_cache")

MOVES = 5
"""A failover of Redis moves a watermark once, and a worker that lost its partition may do so once or twice more."""
WITHIN_S = 30.0
REASON = (
    "another worker moves the watermarks that this one keeps: another installation, with the same settings on another "
    "broker, uses this Redis database. Give each installation a Redis database of its own"
)


class ContentionMonitor:
    """Says it once, in the log as `watermark.contended` and to the doctor. For one worker."""

    def __init__(self, cache: FencedCache) -> None:
        self._cache = cache
        self._moved_s: dict[int, deque[float]] = {}
        self._log = OutageLog(
            logger,
            began="watermark.contended",
            ended="watermark.uncontended",
            level=logging.ERROR,
            quiet_s=WITHIN_S,
            monotonic_s=cache.clock.monotonic_s,
        )

    def moved(self, partition: int) -> None:
        """Somebody else has moved the watermark of a partition that is ours."""
        now_s = self._cache.clock.monotonic_s()
        times = self._moved_s.setdefault(partition, deque(maxlen=MOVES))
        times.append(now_s)
        if len(times) == MOVES and now_s - times[0] <= WITHIN_S:
            self._log.failed(REASON, partition=partition)
            self._cache.record_contention(REASON)

    def in_step(self) -> None:
        """A watermark was where this worker had left it."""
        self._log.succeeded()

    def forget(self, partition: int) -> None:
        self._moved_s.pop(partition, None)
