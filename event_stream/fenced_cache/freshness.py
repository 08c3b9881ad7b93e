"""Freshness: the requirements of a caller, in the terms of HTTP's Cache-Control, and a guard against clock skew."""

import logging
from dataclasses import dataclass

from event_stream.fenced_cache.cache import FencedCache, Reading, State
from event_stream.fenced_cache.entry import Heartbeat
from event_stream.messaging.message import ConsumerRecord

logger = logging.getLogger("event_stream.fenced_cache")


@dataclass(frozen=True, slots=True)
class FreshnessRequirement:
    """What a caller requires beyond the maximum staleness.

    `min_version` is the version that the caller has just written or seen.
    """

    no_cache: bool = False
    """Ask the origin after the request began."""
    max_age_s: float | None = None
    """The maximum age when the request began: the time since the entry was known to be current."""
    min_fresh_s: float | None = None
    """The entry has to stay fresh for this much longer."""
    min_version: int | None = None

    def met_by(self, reading: Reading, began_ms: int, max_staleness_ms: int) -> bool:
        """Return whether the reading satisfies a request that began at `began_ms`.

        A reading made for an earlier request may have been fresh only then.
        """
        if reading.state is not State.HIT or self.no_cache or not self.new_enough(reading):
            return False
        age_ms = began_ms - reading.fresh_at_ms
        if self.max_age_s is not None and age_ms > self.max_age_s * 1000:
            return False
        return age_ms <= max_staleness_ms - (self.min_fresh_s or 0) * 1000

    def new_enough(self, reading: Reading) -> bool:
        """Return whether the reading has `min_version`. An absence never has: its version is a clock's time."""
        return self.min_version is None or (reading.value is not None and reading.version >= self.min_version)


ANY = FreshnessRequirement()


class ClockSkewGuard:
    """Ignores heartbeats from a clock that is too far ahead, and logs that once.

    A heartbeat beyond the limit means clock skew, not a bad producer, so it is not dead-lettered. Accepting it would
    keep entries fresh for too long. One guard serves all partitions, because one clock dates all heartbeats.
    """

    def __init__(self, cache: FencedCache) -> None:
        self._cache = cache
        self._partitions: set[int] = set()
        """The partitions whose last heartbeat was ignored."""
        self._ignored = 0

    def rejects(self, heartbeat: Heartbeat, record: ConsumerRecord) -> bool:
        """Return whether to ignore the heartbeat. Logs the first ignored one, and the first good one after it."""
        ahead_ms = heartbeat.as_of_ms - self._cache.clock.now_ms()
        if ahead_ms <= self._cache.max_staleness_ms:
            if record.partition in self._partitions:
                self._partitions.discard(record.partition)
                if not self._partitions:
                    logger.info("heartbeat.believed_again", extra={"passed_over": self._ignored})
            return False
        if not self._partitions:
            self._ignored = 0
            limit_s = self._cache.settings.max_staleness_s
            error = (
                f"the database's clock, as heartbeats tell it, is {ahead_ms / 1000:.3f} s ahead of this machine's, and "
                f"the bound allows {limit_s:g} s: they are passed over, and lookups ask the origin"
            )
            extra = {"partition": record.partition, "offset": record.offset, "ahead_ms": ahead_ms, "error": error}
            remedy = "let one time service (NTP) set the clocks of the database's machine and of this one"
            logger.warning("heartbeat.from_the_future", extra={**extra, "remedy": remedy})
        self._partitions.add(record.partition)
        self._ignored += 1
        return True

    def forget(self, partition: int) -> None:
        """Forget a partition that another consumer takes over."""
        self._partitions.discard(partition)
