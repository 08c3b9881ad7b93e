"""Sending to Kafka: acknowledged by every replica in sync, each message once and in order."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import kafka
from kafka.errors import (
    InvalidRecordError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)

from event_stream.binders.kafka.connection import Connection, denied
from event_stream.binders.kafka.patches import force_close
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.message import ProducerRecord, RecordMetadata

_NEVER = (InvalidRecordError, MessageSizeTooLargeError, RecordListTooLargeError)
"""What no broker takes, however often it is sent. When sending, a ValueError says that there is no such partition."""


class KafkaProducer:
    """One idempotent producer for one binding. It connects with the first message and may be used by several threads.

    After a failure the client is given up with all it had under way, and the next message has a new one: kafka-python
    advises so, as a batch given up may be in the log or not, and what comes after it must not overtake it.
    """

    def __init__(self, properties: Mapping[str, Any]) -> None:
        self._max_block_s = properties["max_block_ms"] / 1000
        self._connection = Connection(
            lambda **client: kafka.KafkaProducer(**properties, **client), force_close, properties
        )

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Blocks for max_block_ms at most, where no broker answers or the buffer is full."""
        result: Future[RecordMetadata] = Future()
        result.set_running_or_notify_cancel()
        try:
            client = self._connection.get(self._max_block_s)
            sent = client.send(
                record.destination,
                value=record.value,
                key=record.key,
                headers=list(record.headers),
                partition=record.partition,
            )
        except (KafkaError, UnavailableError, ValueError) as error:
            result.set_exception(self._publish_error(record, error, for_good=isinstance(error, (*_NEVER, ValueError))))
            return result

        def failed(error: Exception) -> None:
            # A message that the broker refuses is the first to fail; kafka-python then fails every other one under way
            # with the same error, and those have done nothing wrong.
            is_first = self._connection.forget(client)
            result.set_exception(self._publish_error(record, error, for_good=is_first and isinstance(error, _NEVER)))

        sent.add_callback(lambda at: result.set_result(RecordMetadata(at.topic, at.partition, at.offset)))
        sent.add_errback(failed)
        return result

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

    def _publish_error(self, record: ProducerRecord, error: Exception, *, for_good: bool) -> PublishError:
        where = record.destination if record.partition is None else f"{record.destination}[{record.partition}]"
        kind = UnsendableError if for_good else PublishError
        # An error of the connection has its hint.
        hint = "" if for_good or isinstance(error, UnavailableError) else self._connection.hint
        result = kind(f"{where} did not take a message of {len(record.value or b'')} bytes: {denied(error)}{hint}")
        result.__cause__ = error
        return result
