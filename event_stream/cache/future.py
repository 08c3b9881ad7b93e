"""Heartbeats from a clock that is ahead are passed over, and that is said once."""

import logging

from event_stream.cache.change import Heartbeat
from event_stream.cache.settings import CacheSettings
from event_stream.clock import Clock
from event_stream.message import Record

logger = logging.getLogger("event_stream.cache")


class FutureHeartbeats:
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

    def holds(self, heartbeat: Heartbeat, record: Record) -> bool:
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
