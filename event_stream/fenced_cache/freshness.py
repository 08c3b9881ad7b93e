"""How fresh a caller wants it, in the words of HTTP's Cache-Control."""

import logging
from dataclasses import dataclass

from event_stream.clock import Clock
from event_stream.fenced_cache.cache import Reading, State
from event_stream.fenced_cache.entry import Heartbeat
from event_stream.fenced_cache.settings import CacheSettings
from event_stream.messaging.message import ConsumerRecord


@dataclass(frozen=True, slots=True)
class FreshnessRequirement:
    """What an answer must live up to beyond BOUND. `min_version` is what a caller has just written, or seen."""

    no_cache: bool = False
    """The origin must be asked after the request began."""
    max_age_s: float | None = None
    """Proven to have been current no longer ago than this when the request began."""
    min_fresh_s: float | None = None
    """This much of BOUND must be left."""
    min_version: int | None = None

    def met_by(self, reading: Reading, began_ms: int, bound_ms: int) -> bool:
        """Whether what the cache has will do for a request that began at `began_ms`.

        It may have been read for an earlier one, and have been within BOUND then only.
        """
        if reading.state is not State.HIT or self.no_cache or not self.new_enough(reading):
            return False
        age_ms = began_ms - reading.fresh_at_ms
        if self.max_age_s is not None and age_ms > self.max_age_s * 1000:
            return False
        return age_ms <= bound_ms - (self.min_fresh_s or 0) * 1000

    def new_enough(self, reading: Reading) -> bool:
        """An absence has a clock for a version, and later commits may have earlier versions: it proves nothing."""
        return self.min_version is None or (reading.value is not None and reading.version >= self.min_version)


ANY = FreshnessRequirement()


# Heartbeats from a clock that is ahead are passed over, and that is said once.

logger = logging.getLogger("event_stream.fenced_cache")


class ClockSkewGuard:
    """What a reader of heartbeats knows of clocks. One for all its partitions: they are told by one clock.

    A heartbeat from further ahead than the bound is nobody's fault who wrote to the log, so it is no dead letter; but
    believed, it would vouch for longer than any true one.
    """

    def __init__(self, clock: Clock, settings: CacheSettings) -> None:
        self._clock = clock
        self._bound_s = settings.bound_s
        self._bound_ms = int(settings.bound_s * 1000)
        self._partitions: set[int] = set()
        """Whose last heartbeat was one."""
        self._passed_over = 0

    def holds(self, heartbeat: Heartbeat, record: ConsumerRecord) -> bool:
        """Whether it is to be passed over. Begins or ends an outage, and logs that."""
        ahead_ms = heartbeat.as_of_ms - self._clock.now_ms()
        if ahead_ms <= self._bound_ms:
            if record.partition in self._partitions:
                self._partitions.discard(record.partition)
                if not self._partitions:
                    logger.info("heartbeat.believed_again", extra={"passed_over": self._passed_over})
            return False
        if not self._partitions:
            self._passed_over = 0
            reason = (
                f"the database's clock, as heartbeats tell it, is {ahead_ms / 1000:.3f} s ahead of this machine's, and "
                f"the bound allows {self._bound_s:g} s: they are passed over, and lookups ask the origin"
            )
            extra = {"partition": record.partition, "offset": record.offset, "ahead_ms": ahead_ms, "reason": reason}
            remedy = "let one time service (NTP) set the clocks of the database's machine and of this one"
            logger.warning("heartbeat.from_the_future", extra={**extra, "remedy": remedy})
        self._partitions.add(record.partition)
        self._passed_over += 1
        return True

    def forget(self, partition: int) -> None:
        """It is another reader's from now on."""
        self._partitions.discard(partition)
