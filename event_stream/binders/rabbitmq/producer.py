"""Sending to RabbitMQ: confirmed by a majority of a queue's copies, in every group's queue."""

import itertools
import re
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any

from pika import BasicProperties, ConnectionParameters
from pika.exceptions import ChannelClosedByBroker
from pika.spec import Basic

from event_stream.binders.rabbitmq import topology
from event_stream.binders.rabbitmq.connection import Channel, Connection, ConnectionThread
from event_stream.binders.rabbitmq.records import MAX_HEADERS_BYTES, headers_bytes, properties
from event_stream.conf import Binding
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.message import ProducerRecord, RecordMetadata
from event_stream.messaging.partitioner import partition_for

# What was published on a channel and is not confirmed yet.

_TOO_LARGE = re.compile(r"message size (\d+) ")


@dataclass(frozen=True, slots=True)
class PendingPublish:
    """A message on its way. `address` is exchange and routing key; `sent_at_s` is of the monotonic clock."""

    record: ProducerRecord
    receipt: RecordMetadata
    address: tuple[str, str]
    result: "Future[RecordMetadata]"
    sent_at_s: float


class Confirms:
    """On the link's thread. Each dispatch ends with its receipt once RabbitMQ has it, else with an error."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._under_way: dict[int, PendingPublish] = {}
        self._returned: dict[str, str] = {}
        self._sent = 0
        self._over: str | None = None

    async def start(self) -> None:
        self._channel.raw.add_on_return_callback(self._came_back)
        await self._channel.ask("confirm_delivery", ack_nack_callback=self._answered)

    def publish(self, dispatch: PendingPublish) -> None:
        if self._over is not None or not self._channel.raw.is_open:
            dispatch.result.set_exception(publish_error(dispatch.record, self._over or "the channel is closed"))
            return
        exchange, routing_key = dispatch.address
        self._sent += 1
        self._under_way[self._sent] = dispatch
        self._channel.raw.basic_publish(
            exchange,
            routing_key,
            dispatch.record.value or b"",
            properties(dispatch.record, dispatch.receipt.offset),
            # Without it, a message that no group has a queue for would be confirmed and gone.
            mandatory=True,
        )

    def oldest_s(self) -> float:
        """How long the first of those under way has been so."""
        first = next(iter(self._under_way.values()), None)
        return 0.0 if first is None else time.monotonic() - first.sent_at_s

    def fail(self, reason: BaseException) -> None:
        """The channel is no more; what is under way may have arrived or not."""
        self._over = str(reason) or repr(reason)
        too_large = _TOO_LARGE.search(str(reason)) if isinstance(reason, ChannelClosedByBroker) else None
        for dispatch in self._under_way.values():
            guilty = too_large is not None and len(dispatch.record.value or b"") == int(too_large[1])
            dispatch.result.set_exception(publish_error(dispatch.record, self._over, for_good=guilty))
        self._under_way.clear()

    def _came_back(self, _channel: object, method: Basic.Return, given: BasicProperties, _body: bytes) -> None:
        # It is confirmed, too, and later.
        self._returned[given.message_id or ""] = method.reply_text

    def _answered(self, frame: Any) -> None:
        answer = frame.method
        first = next(iter(self._under_way), answer.delivery_tag) if answer.multiple else answer.delivery_tag
        for tag in range(first, answer.delivery_tag + 1):
            dispatch = self._under_way.pop(tag, None)
            if dispatch is not None:
                self._settle(dispatch, accepted=isinstance(answer, Basic.Ack))

    def _settle(self, dispatch: PendingPublish, *, accepted: bool) -> None:
        returned = self._returned.pop(str(dispatch.receipt.offset), None)
        if returned is not None:
            error = f"no group has a queue for {dispatch.address[1]!r} yet ({returned})"
            dispatch.result.set_exception(publish_error(dispatch.record, error))
        elif not accepted:
            dispatch.result.set_exception(publish_error(dispatch.record, "RabbitMQ could not keep it"))
        else:
            dispatch.result.set_result(dispatch.receipt)


def publish_error(record: ProducerRecord, reason: str, *, for_good: bool = False) -> PublishError:
    kind = UnsendableError if for_good else PublishError
    return kind(f"{record.destination} did not take a message of {len(record.value or b'')} bytes: {reason}")


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
        self._link = ConnectionThread("rabbitmq-producer", brokers, self._serve)
        self._confirms: Confirms | None = None
        self._under_way: set[Future[RecordMetadata]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._last_number = 0
        self._anywhere = itertools.count()

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Blocks for max_block_ms at most, where no broker answers. Its receipt has the number we gave it as offset."""
        result: Future[RecordMetadata] = Future()
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
                receipt = RecordMetadata(record.destination, partition, self._last_number)
                dispatch = PendingPublish(record, receipt, self._address(record, partition), result, time.monotonic())
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

    def _partition(self, record: ProducerRecord) -> int:
        if record.partition is not None:
            return record.partition
        if record.key:
            return partition_for(record.key, self._partitions)
        return next(self._anywhere) % self._partitions

    def _refusal(self, record: ProducerRecord, partition: int) -> str | None:
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

    def _address(self, record: ProducerRecord, partition: int) -> tuple[str, str]:
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

    def _publish(self, dispatch: PendingPublish) -> None:
        if self._confirms is None:
            dispatch.result.set_exception(publish_error(dispatch.record, "RabbitMQ is away"))
        else:
            self._confirms.publish(dispatch)
