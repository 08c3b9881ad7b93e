"""Sending to Kafka: acknowledged by every replica in sync, each message once and in order."""

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from typing import Any

import kafka
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from event_stream.binders.kafka import patches
from event_stream.binders.kafka.connection import Connection, denied
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.binder import Delivery
from event_stream.messaging.channel import failed_at_once
from event_stream.messaging.message import ProducerRecord, RecordMetadata

_NEVER = (InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError)
"""What no broker takes, however often it is sent. When sending, a ValueError says that there is no such partition."""


_REFUSED = (KafkaError, UnavailableError, ValueError)
"""What is raised for a record that does not get as far as being under way."""


class _KafkaDelivery:
    """The outcome of one record: kafka-python's own, read when it is asked for.

    A Future of ours, with its lock and its callbacks, would take a third of the time that sending a record takes.
    """

    __slots__ = ("_client", "_error", "_producer", "_record", "_sent")

    def __init__(self, producer: "KafkaProducer", client: Any, record: ProducerRecord, sent: Any) -> None:
        self._producer = producer
        self._client = client
        self._record = record
        self._sent = sent
        self._error: PublishError | None = None

    def done(self) -> bool:
        return self._error is not None or bool(self._sent.succeeded())

    def result(self, timeout: float | None = None) -> RecordMetadata:
        if error := self.exception(timeout):
            raise error
        at = self._sent.value
        return RecordMetadata(at.topic, at.partition, at.offset)

    def exception(self, timeout: float | None = None) -> PublishError | None:
        sent = self._sent
        if not sent.is_done:
            try:
                sent.get(timeout)
            except KafkaError as error:
                if not sent.is_done:
                    raise TimeoutError from error
        if sent.exception is None:
            return None
        # It is made on the thread that told of the failure: which of many failed first counts.
        failures = self._producer.failures
        with failures:
            failures.wait_for(lambda: self._error is not None)
        return self._error

    def failed(self, error: Exception) -> None:
        """On kafka-python's thread."""
        failure = self._producer.failure(self._client, self._record, error)
        with self._producer.failures:
            self._error = failure
            self._producer.failures.notify_all()


class KafkaProducer:
    """One idempotent producer for one binding. It connects with the first message and may be used by several threads.

    After a failure the client is given up with all it had under way, and the next message has a new one: kafka-python
    advises so, as a batch given up may be in the log or not, and what comes after it must not overtake it.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._max_block_s = properties["max_block_ms"] / 1000
        self._linger_ms: int = properties["linger_ms"]
        self.failures = threading.Condition()
        """Notified when a record of `send_all` has failed."""
        self._connection = Connection(
            lambda **client: kafka.KafkaProducer(**properties, **client), patches.force_close, properties
        )

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Blocks for max_block_ms at most, where no broker answers or the buffer is full."""
        result: Future[RecordMetadata] = Future()
        result.set_running_or_notify_cancel()
        try:
            client = self._connection.get(self._max_block_s)
            sent = _send(client, record)
        except _REFUSED as error:
            result.set_exception(self._refusal(record, error))
            return result
        sent.add_callback(lambda at: result.set_result(RecordMetadata(at.topic, at.partition, at.offset)))
        sent.add_errback(lambda error: result.set_exception(self.failure(client, record, error)))
        return result

    def send_all(self, records: Sequence[ProducerRecord]) -> Sequence[Delivery]:
        """Like `send` for each; blocks for max_block_ms at most where no broker answers.

        All go through one client: once that is given up, the rest of them fail.
        """
        try:
            client = self._connection.get(self._max_block_s)
        except UnavailableError as error:
            return [_failed(self._refusal(record, error)) for record in records[:1]]
        with patches.gathered(client, self._linger_ms) if len(records) > 1 else nullcontext():
            return self._handed_over(client, records)

    def _handed_over(self, client: Any, records: Sequence[ProducerRecord]) -> list[Delivery]:
        deliveries: list[Delivery] = []
        for record in records:
            try:
                sent = _send(client, record)
            except _REFUSED as error:
                deliveries.append(_failed(self._refusal(record, error)))
                if failed_at_once(deliveries[-1]):
                    break
                continue
            delivery = _KafkaDelivery(self, client, record, sent)
            sent.add_errback(delivery.failed)
            deliveries.append(delivery)
        return deliveries

    def partition_count(self, destination: str) -> int:
        try:
            return len(self._connection.get(self._max_block_s).partitions_for(destination))
        except KafkaError as error:
            text = f"the partitions of {destination!r} are not known: {denied(error)}{self._connection.hint}"
            raise UnavailableError(text) from error

    def close(self, timeout_s: float) -> None:
        client = self._connection.connected()
        if client is None:
            self._connection.forget()
            return
        try:
            client.close(timeout=timeout_s)
        except KafkaTimeoutError:
            self._connection.forget()

    def _refusal(self, record: ProducerRecord, error: Exception) -> PublishError:
        return self._publish_error(record, error, for_good=isinstance(error, (*_NEVER, ValueError)))

    def failure(self, client: Any, record: ProducerRecord, error: Exception) -> PublishError:
        """Give the client up, and return the error of a record that it had under way."""
        # A message that the broker refuses is the first to fail; kafka-python then fails every other one under way
        # with the same error, and those have done nothing wrong.
        is_first = self._connection.forget(client)
        return self._publish_error(record, error, for_good=is_first and isinstance(error, _NEVER))

    def _publish_error(self, record: ProducerRecord, error: Exception, *, for_good: bool) -> PublishError:
        where = record.destination if record.partition is None else f"{record.destination}[{record.partition}]"
        kind = UnsendableError if for_good else PublishError
        # An error of the connection has its hint.
        hint = "" if for_good or isinstance(error, UnavailableError) else self._connection.hint
        result = kind(f"{where} did not take a message of {len(record.value or b'')} bytes: {denied(error)}{hint}")
        result.__cause__ = error
        return result


def _send(client: Any, record: ProducerRecord) -> Any:
    return client.send(
        record.destination, value=record.value, key=record.key, headers=list(record.headers), partition=record.partition
    )


def _failed(error: PublishError) -> Delivery:
    result: Future[RecordMetadata] = Future()
    result.set_exception(error)
    return result
