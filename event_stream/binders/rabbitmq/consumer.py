"""The consumer: reads from RabbitMQ as a member of a group."""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pika import BasicProperties, ConnectionParameters
from pika.exceptions import AMQPError

from event_stream.binders.rabbitmq.connection import Connection, ConnectionThread
from event_stream.binders.rabbitmq.group import Event, Session, UnackedBuffer
from event_stream.conf import Binding
from event_stream.errors import UnavailableError
from event_stream.messaging.binder import OffsetRange, RebalanceListener
from event_stream.messaging.message import ConsumerRecord

_ASK_TIMEOUT_S = 1.0
"""The worker's loop waits for these answers and has to see its stop flag, so the timeout is short."""
_LEAVE_TIMEOUT_S = 1.5


class RabbitConsumer:
    """Reads one destination for one group. The first poll joins the group; a separate thread serves the connection.

    Offsets are valid only within this consumer's uncommitted messages.
    """

    def __init__(
        self,
        brokers: Sequence[ConnectionParameters],
        properties: Mapping[str, Any],
        binding: Binding,
        listener: RebalanceListener,
    ) -> None:
        self._binding = binding
        self._properties = properties
        self._listener = listener
        self._connection_thread = ConnectionThread("rabbitmq-consumer", brokers, self._serve)
        self._changed = threading.Condition()
        self._events: deque[tuple[Event, Sequence[UnackedBuffer]]] = deque()
        self._buffers: dict[int, UnackedBuffer] = {}
        self._session: Session | None = None
        self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        deadline = time.monotonic() + timeout_s
        self._connection_thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._has_unread(), max(0.0, deadline - time.monotonic()))
            events = list(self._events)
            self._events.clear()
            # Return records with the next poll: on an assignment, the listener may seek first.
            taken = {} if events else self._take(max_records)
        for event, buffers in events:
            self._notify_listener(event, buffers)
        if not events and not taken:
            self._raise_if_away()
        return taken

    def seek(self, partition: int, offset: int) -> None:
        with self._changed:
            self._buffer(partition).seek(offset)

    def pause(self, partitions: Collection[int]) -> None:
        self._set_paused(partitions, paused=True)

    def resume(self, partitions: Collection[int]) -> None:
        self._set_paused(partitions, paused=False)

    def position(self, partition: int) -> int:
        with self._changed:
            return self._buffer(partition).position

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        with self._changed:
            for partition, offset in next_offsets.items():
                buffer = self._buffers.get(partition)
                tag = buffer.commit(offset) if buffer else None
                if buffer and tag is not None:
                    self._connection_thread.call(buffer.acknowledge, tag)

    def committed(self, partition: int) -> int | None:
        """None: a queue keeps no offset, and its committed messages are gone."""
        return None

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
        with self._changed:
            buffers = {partition: self._buffer(partition) for partition in partitions}
            unread = {partition for partition, buffer in buffers.items() if buffer.unread}
        waiting = {partition: 1 if partition in unread else self._waiting(partition) for partition in buffers}
        with self._changed:
            return {partition: buffer.bounds(waiting[partition]) for partition, buffer in buffers.items()}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._changed:
            partitions = sorted(self._buffers)
            self._buffers.clear()
        if partitions:
            self._listener.revoked(partitions)
        self._connection_thread.close(_LEAVE_TIMEOUT_S)

    # The methods below run on the connection's thread.

    async def _serve(self, connection: Connection) -> None:
        session = Session(
            self._connection_thread,
            connection,
            binding=self._binding,
            properties=self._properties,
            notify=self._notify,
            deliver=self._deliver,
        )
        self._session = session
        await session.run()

    def _notify(self, event: Event, buffers: Sequence[UnackedBuffer]) -> None:
        with self._changed:
            self._events.append((event, buffers))
            self._changed.notify_all()

    def _deliver(self, buffer: UnackedBuffer, tag: int, properties: BasicProperties, body: bytes) -> None:
        with self._changed:
            buffer.add(tag, properties, body)
            self._changed.notify_all()

    # The methods below run on the thread that polls.

    def _notify_listener(self, event: Event, buffers: Sequence[UnackedBuffer]) -> None:
        """Tell the listener which partitions were assigned, revoked or lost."""
        if event == "assigned":
            with self._changed:
                self._buffers |= {buffer.partition: buffer for buffer in buffers}
            self._listener.assigned([buffer.partition for buffer in buffers])
            return
        with self._changed:
            gone = [buffer for buffer in buffers if self._buffers.get(buffer.partition) is buffer]
            for buffer in gone:
                del self._buffers[buffer.partition]
        if not gone:
            return
        if event == "lost":
            self._listener.lost([buffer.partition for buffer in gone])
            return
        self._listener.revoked([buffer.partition for buffer in gone])
        for buffer in gone:
            self._connection_thread.call(buffer.release)

    def _has_unread(self) -> bool:
        return any(buffer.unread and not buffer.paused for buffer in self._buffers.values())

    def _take(self, max_records: int) -> dict[int, Sequence[ConsumerRecord]]:
        taken: dict[int, Sequence[ConsumerRecord]] = {}
        for partition, buffer in self._buffers.items():
            if not buffer.paused and max_records > 0 and (records := buffer.take(max_records)):
                taken[partition] = records
                max_records -= len(records)
        # Move these to the end, so that a full partition does not starve the others.
        for partition in taken:
            self._buffers[partition] = self._buffers.pop(partition)
        return taken

    def _set_paused(self, partitions: Collection[int], *, paused: bool) -> None:
        with self._changed:
            for partition in partitions:
                self._buffer(partition).paused = paused

    def _buffer(self, partition: int) -> UnackedBuffer:
        if partition not in self._buffers:
            raise ValueError(f"partition {partition} is not assigned to this consumer")
        return self._buffers[partition]

    def _waiting(self, partition: int) -> int:
        session = self._session
        answer: Future[int] = Future()
        if session is None or not self._connection_thread.up.is_set():
            raise UnavailableError(f"RabbitMQ at {self._connection_thread.where()} is away")
        self._connection_thread.call(lambda: _copy_result(asyncio.ensure_future(session.waiting(partition)), answer))
        try:
            return answer.result(_ASK_TIMEOUT_S)
        except (AMQPError, TimeoutError) as error:
            raise UnavailableError(
                f"RabbitMQ at {self._connection_thread.where()} does not answer: {error!r}"
            ) from error

    def _raise_if_away(self) -> None:
        if self._connection_thread.fatal_error is not None:
            raise self._connection_thread.fatal_error
        if self._connection_thread.problem is not None:
            raise UnavailableError(
                f"RabbitMQ at {self._connection_thread.where()} is away: {self._connection_thread.problem}"
            )


def _copy_result(task: "asyncio.Task[int]", answer: "Future[int]") -> None:
    def done(task: "asyncio.Task[int]") -> None:
        error = task.exception() if not task.cancelled() else UnavailableError("the connection is closed")
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    task.add_done_callback(done)
