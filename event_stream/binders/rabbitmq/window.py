"""What a consumer has been given of one partition and has not acknowledged: the part of the log that it can see."""

import time
from bisect import bisect_left
from collections.abc import Callable, Sequence

from pika import BasicProperties

from event_stream.binder import LogBounds
from event_stream.binders.rabbitmq.records import as_record
from event_stream.message import Record


class Window:
    """Filled by the link's thread, read by the one that polls; whoever calls holds the consumer's lock.

    On the link's thread, `acknowledge(tag)` tells the broker that everything up to that delivery is done, and
    `release()` gives the partition away.
    """

    def __init__(
        self, destination: str, partition: int, acknowledge: Callable[[int], None], release: Callable[[], None]
    ) -> None:
        self.partition = partition
        self.acknowledge = acknowledge
        self.release = release
        self.paused = False
        self._destination = destination
        self._records: list[Record] = []
        self._tags: list[int] = []
        self._next = 0
        """Which of them the next poll begins with."""
        self._done = 0
        """Everything below this offset is."""
        self._end = 0

    def add(self, tag: int, properties: BasicProperties, body: bytes) -> None:
        record = as_record(self._destination, self.partition, properties, body, self._end)
        self._records.append(record)
        self._tags.append(tag)
        self._end = record.offset + 1

    @property
    def unread(self) -> int:
        return len(self._records) - self._next

    def take(self, most: int) -> Sequence[Record]:
        taken = self._records[self._next : self._next + most]
        self._next += len(taken)
        return taken

    def seek(self, offset: int) -> None:
        """As far back as to the first that is not acknowledged."""
        self._next = self._below(offset)

    @property
    def position(self) -> int:
        return self._records[self._next].offset if self.unread else self._end

    def commit(self, next_offset: int) -> int | None:
        """Forget what is below. The delivery to acknowledge, if there is one."""
        self._done = max(self._done, next_offset)
        count = self._below(next_offset)
        if not count:
            return None
        tag = self._tags[count - 1]
        del self._records[:count], self._tags[:count]
        self._next = max(0, self._next - count)
        return tag

    def bounds(self, waiting: int) -> LogBounds:
        """From what is done to the last that came; to now, where more is `waiting` on the broker or unread here."""
        end = max(self._end, self._done)
        if waiting or self.unread:
            end = max(end, time.time_ns() // 1000)
        return LogBounds(self._done, end)

    def _below(self, offset: int) -> int:
        return bisect_left(self._records, offset, key=lambda record: record.offset)
