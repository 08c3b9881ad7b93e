"""Commits of exact offsets that no batch waits for.

A commit is only where the next member begins when the last one is gone: at least once holds however late it comes, and
a handler that keeps its offsets with its effects (the fenced cache) does not even read a message twice. So they are
gathered and sent at most every interval, one request at a time, and whatever is left goes before the partitions do: on
a rebalance and on close.
"""

import logging
import time
from collections.abc import Collection, Mapping
from typing import Any

from kafka.errors import KafkaError, RetriableError
from kafka.structs import OffsetAndMetadata, TopicPartition

logger = logging.getLogger("event_stream.binders.kafka")


class Commits:
    """What is to be committed for one topic, and the request under way.

    kafka-python calls rebalance listeners on its own thread, but only while ours waits inside of poll or close, so the
    two never meet here.
    """

    def __init__(self, topic: str, interval_s: float) -> None:
        self._topic = topic
        self._interval_s = interval_s
        self._waiting: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._request: Any = None
        self._next_at = 0.0

    def add(self, next_offsets: Mapping[int, int]) -> None:
        self._waiting.update(next_offsets)

    def drop(self, partitions: Collection[int]) -> None:
        """Somebody else has these partitions."""
        for partition in partitions:
            self._waiting.pop(partition, None)
            self._sent.pop(partition, None)

    def send_if_due(self, client: Any) -> None:
        """Does not wait for the answer, which is looked at the next time."""
        self._settle()
        now = time.monotonic()
        if self._waiting and self._request is None and now >= self._next_at:
            self._sent, self._waiting = self._waiting, {}
            self._request = client.commit_async(self._offsets(self._sent))
            self._next_at = now + self._interval_s

    def send_now(self, client: Any, timeout_ms: int) -> None:
        """Waits for the answer, so long at most. What can't be kept is logged, and read again by whoever is next."""
        everything = self._take()
        if everything:
            try:
                client.commit(self._offsets(everything), timeout_ms=timeout_ms)
            except KafkaError as error:
                self._refused(everything, error)

    async def send_on_revoke(self, client: Any) -> None:
        """The same from a rebalance listener, on kafka-python's own loop."""
        everything = self._take()
        if everything:
            try:
                await client.commit_async(self._offsets(everything))
            except KafkaError as error:
                self._refused(everything, error)

    def _take(self) -> dict[int, int]:
        # What is under way goes once more: on the one connection it arrives second, and the later offset wins anyhow.
        self._settle()
        everything = {**self._sent, **self._waiting}
        self._waiting, self._sent, self._request = {}, {}, None
        return everything

    def _settle(self) -> None:
        request = self._request
        if request is None or not request.is_done:
            return
        if isinstance(request.exception, RetriableError):
            self._waiting = {**self._sent, **self._waiting}
        elif request.exception is not None:
            self._refused(self._sent, request.exception)
        self._sent, self._request = {}, None

    def _offsets(self, next_offsets: Mapping[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {TopicPartition(self._topic, p): OffsetAndMetadata(offset, "", -1) for p, offset in next_offsets.items()}

    def _refused(self, offsets: Mapping[int, int], error: Exception) -> None:
        extra = {"destination": self._topic, "offsets": {str(p): offset for p, offset in offsets.items()}}
        logger.warning("commit.refused", extra={**extra, "reason": f"{type(error).__name__}: {error}"})
