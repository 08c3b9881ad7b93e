"""Reading from RabbitMQ as a member of a group."""

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
"""For a question that the worker's loop waits for: it has to see its stop flag, so it rather asks again later."""
_LEAVE_TIMEOUT_S = 1.5


class RabbitConsumer:
    """One destination for one group. It joins with the first poll; then a thread of its own serves the connection.

    Offsets are of use within what has been given to us and is not committed, and to nobody else.
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
        self._link = ConnectionThread("rabbitmq-consumer", brokers, self._serve)
        self._changed = threading.Condition()
        self._events: deque[tuple[Event, Sequence[UnackedBuffer]]] = deque()
        self._windows: dict[int, UnackedBuffer] = {}
        self._session: Session | None = None
        self._closed = False

    def poll(self, timeout_s: float, max_records: int) -> Mapping[int, Sequence[ConsumerRecord]]:
        deadline = time.monotonic() + timeout_s
        self._link.start()
        with self._changed:
            self._changed.wait_for(lambda: self._events or self._has_unread(), max(0.0, deadline - time.monotonic()))
            events = list(self._events)
            self._events.clear()
            # What came with an event is for the next poll: the listener may want to begin somewhere else.
            taken = {} if events else self._take(max_records)
        for event, windows in events:
            self._hand_on(event, windows)
        if not events and not taken:
            self._raise_if_away()
        return taken

    def seek(self, partition: int, offset: int) -> None:
        with self._changed:
            self._window(partition).seek(offset)

    def pause(self, partitions: Collection[int]) -> None:
        self._set_paused(partitions, paused=True)

    def resume(self, partitions: Collection[int]) -> None:
        self._set_paused(partitions, paused=False)

    def position(self, partition: int) -> int:
        with self._changed:
            return self._window(partition).position

    def commit(self, next_offsets: Mapping[int, int]) -> None:
        with self._changed:
            for partition, offset in next_offsets.items():
                window = self._windows.get(partition)
                tag = window.commit(offset) if window else None
                if window and tag is not None:
                    self._link.call(window.acknowledge, tag)

    def committed(self, partition: int) -> int | None:
        """The queue keeps no number of it: what is committed is no longer there."""
        return None

    def bounds(self, partitions: Collection[int]) -> Mapping[int, OffsetRange]:
        with self._changed:
            windows = {partition: self._window(partition) for partition in partitions}
            unread = {partition for partition, window in windows.items() if window.unread}
        waiting = {partition: 1 if partition in unread else self._waiting(partition) for partition in windows}
        with self._changed:
            return {partition: window.bounds(waiting[partition]) for partition, window in windows.items()}

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        with self._changed:
            partitions = sorted(self._windows)
            self._windows.clear()
        if partitions:
            self._listener.revoked(partitions)
        self._link.close(_LEAVE_TIMEOUT_S)

    # From the link's thread.

    async def _serve(self, connection: Connection) -> None:
        session = Session(
            self._link,
            connection,
            binding=self._binding,
            properties=self._properties,
            tell=self._tell,
            deliver=self._deliver,
        )
        self._session = session
        await session.run()

    def _tell(self, event: Event, windows: Sequence[UnackedBuffer]) -> None:
        with self._changed:
            self._events.append((event, windows))
            self._changed.notify_all()

    def _deliver(self, window: UnackedBuffer, tag: int, properties: BasicProperties, body: bytes) -> None:
        with self._changed:
            window.add(tag, properties, body)
            self._changed.notify_all()

    # On the thread that polls.

    def _hand_on(self, event: Event, windows: Sequence[UnackedBuffer]) -> None:
        """Tell the listener what happened to our partitions."""
        if event == "assigned":
            with self._changed:
                self._windows |= {window.partition: window for window in windows}
            self._listener.assigned([window.partition for window in windows])
            return
        with self._changed:
            gone = [window for window in windows if self._windows.get(window.partition) is window]
            for window in gone:
                del self._windows[window.partition]
        if not gone:
            return
        if event == "lost":
            self._listener.lost([window.partition for window in gone])
            return
        self._listener.revoked([window.partition for window in gone])
        for window in gone:
            self._link.call(window.release)

    def _has_unread(self) -> bool:
        return any(window.unread and not window.paused for window in self._windows.values())

    def _take(self, max_records: int) -> dict[int, Sequence[ConsumerRecord]]:
        taken: dict[int, Sequence[ConsumerRecord]] = {}
        for partition, window in self._windows.items():
            if not window.paused and max_records > 0 and (records := window.take(max_records)):
                taken[partition] = records
                max_records -= len(records)
        # Who came last comes first the next time: a full partition does not starve the others.
        for partition in taken:
            self._windows[partition] = self._windows.pop(partition)
        return taken

    def _set_paused(self, partitions: Collection[int], *, paused: bool) -> None:
        with self._changed:
            for partition in partitions:
                self._window(partition).paused = paused

    def _window(self, partition: int) -> UnackedBuffer:
        if partition not in self._windows:
            raise ValueError(f"partition {partition} is not assigned to this consumer")
        return self._windows[partition]

    def _waiting(self, partition: int) -> int:
        session = self._session
        answer: Future[int] = Future()
        if session is None or not self._link.up.is_set():
            raise UnavailableError(f"RabbitMQ at {self._link.where()} is away")
        self._link.call(lambda: _pass_on(asyncio.ensure_future(session.waiting(partition)), answer))
        try:
            return answer.result(_ASK_TIMEOUT_S)
        except (AMQPError, TimeoutError) as error:
            raise UnavailableError(f"RabbitMQ at {self._link.where()} does not answer: {error!r}") from error

    def _raise_if_away(self) -> None:
        if self._link.mistake is not None:
            raise self._link.mistake
        if self._link.problem is not None:
            raise UnavailableError(f"RabbitMQ at {self._link.where()} is away: {self._link.problem}")


def _pass_on(task: "asyncio.Task[int]", answer: "Future[int]") -> None:
    def done(task: "asyncio.Task[int]") -> None:
        error = task.exception() if not task.cancelled() else UnavailableError("the connection is closed")
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(task.result())

    task.add_done_callback(done)
