"""The producer: sends all queued records in one round trip, whose answer acknowledges each record."""

import queue
import random
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeAlias

import redis

from event_stream.binders.redis.connection import Server, fields_of
from event_stream.errors import PublishError, UnavailableError, UnsendableError
from event_stream.messaging.message import ProducerRecord, RecordMetadata
from event_stream.messaging.partitioner import partition_for

_BATCH_SIZE = 500
_BATCH_BYTES = 4 * 1024 * 1024
_QUEUE_SIZE = 10_000

Waiting: TypeAlias = tuple[ProducerRecord, "Future[RecordMetadata]"]


class RedisProducer:
    """One thread sends records in the order of `send`.

    When a round trip fails, all queued records fail too, so that nothing overtakes a record that may be lost.
    """

    def __init__(self, server: Server, properties: Mapping[str, Any]) -> None:
        self._server = server
        self._properties = properties
        self._queue: queue.Queue[Waiting | None] = queue.Queue(_QUEUE_SIZE)
        self._partitions: dict[str, int] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def send(self, record: ProducerRecord) -> "Future[RecordMetadata]":
        """Blocks up to max_block_ms while the queue is full."""
        result: Future[RecordMetadata] = Future()
        result.set_running_or_notify_cancel()
        size = sum(map(len, (record.key or b"", record.value or b"", *(value for _, value in record.headers))))
        if size > self._properties["max_message_bytes"]:
            limit = self._properties["max_message_bytes"]
            result.set_exception(UnsendableError(f"{_where(record)} takes no message of {size} bytes: {limit} at most"))
            return result
        try:
            self._start()
            self._queue.put((record, result), timeout=self._properties["max_block_ms"] / 1000)
        except queue.Full:
            result.set_exception(PublishError(f"{_where(record)}: {_QUEUE_SIZE} messages wait for Redis already"))
        return result

    def partition_count(self, destination: str) -> int:
        return self._server.partitions(destination)

    def close(self, timeout_s: float) -> None:
        with self._lock:
            self._closed, thread = True, self._thread
        if thread is not None:
            with suppress(queue.Full):
                self._queue.put(None, timeout=timeout_s)
            thread.join(timeout_s)
        self._server.close()

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("this producer is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="redis-producer", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            batch, last = self._gather(first)
            try:
                self._send(batch)
            except Exception as error:  # noqa: BLE001 - the futures report it
                self._fail([*batch, *self._drain()], error)
            if last:
                return

    def _gather(self, first: Waiting) -> tuple[list[Waiting], bool]:
        """Return the next batch of the queue, and whether it is the last one before close()."""
        batch, size = [first], len(first[0].value or b"")
        while len(batch) < _BATCH_SIZE and size < _BATCH_BYTES:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                break
            if waiting is None:
                return batch, True
            batch.append(waiting)
            size += len(waiting[0].value or b"")
        return batch, False

    def _drain(self) -> list[Waiting]:
        waiting_records: list[Waiting] = []
        while True:
            try:
                waiting = self._queue.get_nowait()
            except queue.Empty:
                return waiting_records
            if waiting is None:
                self._queue.put(None)
                return waiting_records
            waiting_records.append(waiting)

    def _send(self, batch: Sequence[Waiting]) -> None:
        placed: list[tuple[ProducerRecord, Future[RecordMetadata], int]] = []
        pipeline = self._server.client.pipeline(transaction=False)
        for record, result in batch:
            partitions = self._partition_count(record.destination)
            partition = _choose_partition(record, partitions)
            if not 0 <= partition < partitions:
                result.set_exception(UnsendableError(f"{record.destination} has no partition {partition}"))
                continue
            placed.append((record, result, partition))
            keys = self._server.keys(record.destination)
            arguments = [partition, partitions, *fields_of(record)]
            self._server.scripts["append"]([keys.topic, keys.log(partition)], arguments, client=pipeline)
        if not placed:
            return
        self._wait_for_copies(pipeline)
        answers = pipeline.execute(raise_on_error=False)
        if any(isinstance(answer, redis.ReadOnlyError) for answer in answers):
            self._server.drop_connections()
        missing = self._missing(answers[len(placed) :])
        for (record, result, partition), answer in zip(placed, answers, strict=False):
            self._settle(record, result, partition, missing or answer)

    def _settle(self, record: ProducerRecord, result: "Future[RecordMetadata]", partition: int, answer: Any) -> None:
        if isinstance(answer, Exception):
            result.set_exception(_publish_error(record, answer))
        elif answer is None:
            self._partitions.pop(record.destination, None)
            changed = UnavailableError("the destination has changed; its number of partitions is read again")
            result.set_exception(_publish_error(record, changed))
        else:
            result.set_result(RecordMetadata(record.destination, partition, int(answer)))

    def _partition_count(self, destination: str) -> int:
        if destination not in self._partitions:
            self._partitions[destination] = self._server.partitions(destination)
        return self._partitions[destination]

    def _wait_for_copies(self, pipeline: Any) -> None:
        replicas, timeout_ms = self._properties["replicas"], self._properties["replicas_timeout_ms"]
        if self._properties["fsync"]:
            pipeline.execute_command("WAITAOF", 1, replicas, timeout_ms)
        elif replicas:
            pipeline.execute_command("WAIT", replicas, timeout_ms)

    def _missing(self, answers: Sequence[Any]) -> Exception | None:
        """Return the error that keeps the whole round trip from being acknowledged, if any."""
        if not answers:
            return None
        if isinstance(answers[0], Exception):
            return answers[0]
        local, copies = answers[0] if self._properties["fsync"] else (1, answers[0])
        if local < 1 or copies < self._properties["replicas"]:
            replicas = f"{self._properties['replicas']} replicas"
            return UnavailableError(f"only {copies} of {replicas} have it, and {local} file of its own")
        return None

    @staticmethod
    def _fail(waiting: Sequence[Waiting], error: Exception) -> None:
        for record, result in waiting:
            if not result.done():
                result.set_exception(_publish_error(record, error))


def _choose_partition(record: ProducerRecord, partitions: int) -> int:
    if record.partition is not None:
        return record.partition
    if record.key is None:
        return random.randrange(partitions)  # noqa: S311 - not for secrets
    return partition_for(record.key, partitions)


def _where(record: ProducerRecord) -> str:
    return record.destination if record.partition is None else f"{record.destination}[{record.partition}]"


def _publish_error(record: ProducerRecord, error: Exception) -> PublishError:
    result = PublishError(f"{_where(record)} did not take a message of {len(record.value or b'')} bytes: {error}")
    result.__cause__ = error
    return result
