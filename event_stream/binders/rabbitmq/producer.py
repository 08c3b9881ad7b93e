"""Sending to RabbitMQ: confirmed by a majority of a queue's copies, in every group's queue."""

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any

from pika import ConnectionParameters

from event_stream.binders.rabbitmq import topology
from event_stream.binders.rabbitmq.channel import Connection
from event_stream.binders.rabbitmq.confirms import Confirms, Dispatch, publish_error
from event_stream.binders.rabbitmq.link import Link
from event_stream.binders.rabbitmq.records import MAX_HEADERS_BYTES, headers_bytes
from event_stream.binding import Binding
from event_stream.errors import UnavailableError
from event_stream.message import OutboundRecord, Receipt
from event_stream.partitioner import partition_for

_LOOK_EVERY_S = 0.25


class RabbitProducer:
    """One connection for one binding, made with the first message. It may be used by several threads.

    After a failure the connection is given up with all that is under way, so that what is sent again is not overtaken.
    """

    def __init__(
        self, brokers: Sequence[ConnectionParameters], properties: Mapping[str, Any], binding: Binding
    ) -> None:
        self._binding = binding
        self._partitions: int = 1 if binding.journal else properties["partitions"]
        self._properties = properties
        self._max_block_s = properties["max_block_ms"] / 1000
        self._delivery_timeout_s = properties["delivery_timeout_ms"] / 1000
        self._link = Link("rabbitmq-producer", brokers, self._serve)
        self._confirms: Confirms | None = None
        self._under_way: set[Future[Receipt]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._last_number = 0
        self._anywhere = itertools.count()

    def send(self, record: OutboundRecord) -> "Future[Receipt]":
        """Blocks for max_block_ms at most, where no broker answers. Its receipt has the number we gave it as offset."""
        result: Future[Receipt] = Future()
        result.set_running_or_notify_cancel()
        partition = self._partition(record)
        if refusal := self._refusal(record, partition):
            result.set_exception(publish_error(record, refusal, for_good=True))
        elif absence := self._absence():
            result.set_exception(publish_error(record, absence))
        else:
            with self._lock:
                # Numbered in the order of sending, also when the clock stands still or goes back.
                self._last_number = max(self._last_number + 1, time.time_ns() // 1000)
                receipt = Receipt(record.destination, partition, self._last_number)
                dispatch = Dispatch(record, receipt, self._address(record, partition), result, time.monotonic())
                self._under_way.add(result)
                result.add_done_callback(self._under_way.discard)
                if not self._link.call(self._publish, dispatch):
                    result.set_exception(publish_error(record, "the producer is closed"))
        return result

    def partition_count(self, destination: str) -> int:
        """As RabbitMQ has been told first, and 1 for a journal."""
        absence = self._absence()
        if isinstance(self._link.mistake, topology.PartitionsDifferError):
            return self._link.mistake.actual
        if absence:
            raise UnavailableError(absence)
        return self._partitions

    def close(self, timeout_s: float) -> None:
        """What is not confirmed by then ends with a PublishError."""
        self._closed = True
        with self._lock:
            under_way = list(self._under_way)
        wait(under_way, timeout_s)
        self._link.close(timeout_s)

    def _partition(self, record: OutboundRecord) -> int:
        if record.partition is not None:
            return record.partition
        if record.key:
            return partition_for(record.key, self._partitions)
        return next(self._anywhere) % self._partitions

    def _refusal(self, record: OutboundRecord, partition: int) -> str | None:
        if not 0 <= partition < self._partitions:
            return f"there is no such partition; 'partitions' is {self._partitions}"
        if (size := headers_bytes(record)) > MAX_HEADERS_BYTES:
            return f"its headers have {size} bytes, and RabbitMQ takes {MAX_HEADERS_BYTES} at most"
        return None

    def _absence(self) -> str | None:
        if self._closed:
            return "the producer is closed"
        self._link.start()
        if self._link.up.wait(0 if self._link.mistake else self._max_block_s):
            return None
        if self._link.mistake is not None:
            return str(self._link.mistake)
        return f"RabbitMQ at {self._link.where()} is away: {self._link.problem or 'it has not answered yet'}"

    def _address(self, record: OutboundRecord, partition: int) -> tuple[str, str]:
        """Exchange and routing key."""
        return ("", record.destination) if self._binding.journal else (record.destination, str(partition))

    # On the link's thread.

    async def _serve(self, connection: Connection) -> None:
        channel = await connection.channel()
        await topology.declare_destination(channel, self._binding, self._properties)
        confirms = Confirms(channel)
        await confirms.start()
        self._confirms = confirms
        self._link.established()
        try:
            while not (self._link.stopping.is_set() or channel.closed.done()):
                await self._link.until_over(channel.closed, timeout_s=_LOOK_EVERY_S)
                if confirms.oldest_s() > self._delivery_timeout_s:
                    connection.abort()
                    confirms.fail(UnavailableError("RabbitMQ no longer confirms what it is sent"))
        finally:
            confirms.fail(channel.closed.result() if channel.closed.done() else UnavailableError("it was closed"))

    def _publish(self, dispatch: Dispatch) -> None:
        if self._confirms is None:
            dispatch.result.set_exception(publish_error(dispatch.record, "RabbitMQ is away"))
        else:
            self._confirms.publish(dispatch)
