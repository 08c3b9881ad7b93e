"""The producer: a message is confirmed once a majority of the copies of every group's queue has it."""

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
from event_stream.binders.rabbitmq.records import MAX_HEADERS_BYTES, as_properties, headers_bytes
from event_stream.conf import Binding
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.message import ProducerRecord, RecordMetadata
from event_stream.messaging.partitioner import partition_for

_CHECK_EVERY_S = 0.25
_TOO_LARGE = re.compile(r"message size (\d+) ")


@dataclass(frozen=True, slots=True)
class PendingPublish:
    """A message that is not confirmed yet. `address` is exchange and routing key; `sent_at_s` is monotonic time."""

    record: ProducerRecord
    receipt: RecordMetadata
    address: tuple[str, str]
    result: "Future[RecordMetadata]"
    sent_at_s: float


class Confirms:
    """The publishes of one channel. Each resolves to its receipt once RabbitMQ confirms it, else to an error.

    Runs on the connection's thread.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._pending: dict[int, PendingPublish] = {}
        self._returned: dict[str, str] = {}
        self._sent = 0
        self._over: str | None = None

    async def start(self) -> None:
        self._channel.raw.add_on_return_callback(self._on_return)
        await self._channel.ask("confirm_delivery", ack_nack_callback=self._on_confirm)

    def publish(self, pending: PendingPublish) -> None:
        if self._over is not None or not self._channel.raw.is_open:
            pending.result.set_exception(_publish_error(pending.record, self._over or "the channel is closed"))
            return
        exchange, routing_key = pending.address
        self._sent += 1
        self._pending[self._sent] = pending
        self._channel.raw.basic_publish(
            exchange,
            routing_key,
            pending.record.value or b"",
            as_properties(pending.record, pending.receipt.offset),
            # Otherwise a message that no group has a queue for would be confirmed and dropped.
            mandatory=True,
        )

    def oldest_s(self) -> float:
        """Return the age of the oldest pending publish."""
        first = next(iter(self._pending.values()), None)
        return 0.0 if first is None else time.monotonic() - first.sent_at_s

    def fail(self, reason: BaseException) -> None:
        """Fail all pending publishes: the channel is closed, and they may have arrived or not."""
        self._over = str(reason) or repr(reason)
        too_large = _TOO_LARGE.search(str(reason)) if isinstance(reason, ChannelClosedByBroker) else None
        for pending in self._pending.values():
            is_culprit = too_large is not None and len(pending.record.value or b"") == int(too_large[1])
            pending.result.set_exception(_publish_error(pending.record, self._over, permanent=is_culprit))
        self._pending.clear()

    def _on_return(self, _channel: object, method: Basic.Return, returned: BasicProperties, _body: bytes) -> None:
        # RabbitMQ confirms a returned message too, after returning it.
        self._returned[returned.message_id or ""] = method.reply_text

    def _on_confirm(self, frame: Any) -> None:
        answer = frame.method
        first = next(iter(self._pending), answer.delivery_tag) if answer.multiple else answer.delivery_tag
        for tag in range(first, answer.delivery_tag + 1):
            pending = self._pending.pop(tag, None)
            if pending is not None:
                self._settle(pending, accepted=isinstance(answer, Basic.Ack))

    def _settle(self, pending: PendingPublish, *, accepted: bool) -> None:
        returned = self._returned.pop(str(pending.receipt.offset), None)
        if returned is not None:
            error = f"no group has a queue for {pending.address[1]!r} yet ({returned})"
            pending.result.set_exception(_publish_error(pending.record, error))
        elif not accepted:
            pending.result.set_exception(_publish_error(pending.record, "RabbitMQ could not keep it"))
        else:
            pending.result.set_result(pending.receipt)


class RabbitProducer:
    """Sends the messages of one binding over one connection, opened with the first message. Thread-safe.

    A failure closes the connection and fails everything pending, so that nothing overtakes a message sent again.
    """

    def __init__(
        self, brokers: Sequence[ConnectionParameters], properties: Mapping[str, Any], binding: Binding
    ) -> None:
        self._binding = binding
        self._partitions: int = 1 if binding.journal else properties["partitions"]
        self._properties = properties
        self._max_block_s = properties["max_block_ms"] / 1000
        self._delivery_timeout_s = properties["delivery_timeout_ms"] / 1000
        self._connection_thread = ConnectionThread("rabbitmq-producer", brokers, self._serve)
        self._confirms: Confirms | None = None
        self._pending: set[Future[RecordMetadata]] = set()
        self._closed = False
        self._lock = threading.Lock()
        self._last_number = 0
        self._round_robin = itertools.count()

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Blocks up to max_block_ms while no broker answers. The receipt's offset is the message's number."""
        result: Future[RecordMetadata] = Future()
        result.set_running_or_notify_cancel()
        partition = self._partition(record)
        if refusal := self._refusal(record, partition):
            result.set_exception(_publish_error(record, refusal, permanent=True))
        elif absence := self._absence():
            result.set_exception(_publish_error(record, absence))
        else:
            with self._lock:
                # Numbers increase in the order of sending, even when the clock stands still or goes back.
                self._last_number = max(self._last_number + 1, time.time_ns() // 1000)
                receipt = RecordMetadata(record.destination, partition, self._last_number)
                pending = PendingPublish(record, receipt, self._address(record, partition), result, time.monotonic())
                self._pending.add(result)
                result.add_done_callback(self._pending.discard)
                if not self._connection_thread.call(self._publish, pending):
                    result.set_exception(_publish_error(record, "the producer is closed"))
        return result

    def partition_count(self, destination: str) -> int:
        """Return the number of partitions that the first process declared; 1 for a journal."""
        absence = self._absence()
        if isinstance(self._connection_thread.fatal_error, topology.PartitionsDifferError):
            return self._connection_thread.fatal_error.actual
        if absence:
            raise UnavailableError(absence)
        return self._partitions

    def close(self, timeout_s: float) -> None:
        """Close; publishes that are not confirmed within `timeout_s` end with a PublishError."""
        self._closed = True
        with self._lock:
            pending = list(self._pending)
        wait(pending, timeout_s)
        self._connection_thread.close(timeout_s)

    def _partition(self, record: ProducerRecord) -> int:
        if record.partition is not None:
            return record.partition
        if record.key:
            return partition_for(record.key, self._partitions)
        return next(self._round_robin) % self._partitions

    def _refusal(self, record: ProducerRecord, partition: int) -> str | None:
        if not 0 <= partition < self._partitions:
            return f"there is no such partition; 'partitions' is {self._partitions}"
        if (size := headers_bytes(record)) > MAX_HEADERS_BYTES:
            return f"its headers have {size} bytes, and RabbitMQ takes {MAX_HEADERS_BYTES} at most"
        return None

    def _absence(self) -> str | None:
        if self._closed:
            return "the producer is closed"
        self._connection_thread.start()
        if self._connection_thread.up.wait(0 if self._connection_thread.fatal_error else self._max_block_s):
            return None
        if self._connection_thread.fatal_error is not None:
            return str(self._connection_thread.fatal_error)
        problem = self._connection_thread.problem or "it has not answered yet"
        return f"RabbitMQ at {self._connection_thread.where()} is away: {problem}"

    def _address(self, record: ProducerRecord, partition: int) -> tuple[str, str]:
        """Return exchange and routing key."""
        return ("", record.destination) if self._binding.journal else (record.destination, str(partition))

    # The methods below run on the connection's thread.

    async def _serve(self, connection: Connection) -> None:
        channel = await connection.channel()
        await topology.declare_destination(channel, self._binding, self._properties)
        confirms = Confirms(channel)
        await confirms.start()
        self._confirms = confirms
        self._connection_thread.established()
        try:
            while not (self._connection_thread.stopping.is_set() or channel.closed.done()):
                await self._connection_thread.until_over(channel.closed, timeout_s=_CHECK_EVERY_S)
                if confirms.oldest_s() > self._delivery_timeout_s:
                    connection.abort()
                    confirms.fail(UnavailableError("RabbitMQ no longer confirms what it is sent"))
        finally:
            confirms.fail(channel.closed.result() if channel.closed.done() else UnavailableError("it was closed"))

    def _publish(self, pending: PendingPublish) -> None:
        if self._confirms is None:
            pending.result.set_exception(_publish_error(pending.record, "RabbitMQ is away"))
        else:
            self._confirms.publish(pending)


def _publish_error(record: ProducerRecord, reason: str, *, permanent: bool = False) -> PublishError:
    kind = UnsendableError if permanent else PublishError
    return kind(f"{record.destination} did not take a message of {len(record.value or b'')} bytes: {reason}")
