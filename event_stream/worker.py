"""The loop of a consumer process: polls, hands each partition's records to a handler, commits what is done.

What it promises a handler, whatever the platform:

* Partitions are handled one batch at a time, in order, each from where `start` said.
* Nothing sleeps between polls. A handler whose server is away has its partition paused and tried again later, with
  growing pauses, and the other partitions go on.
* What is committed is what has been handled, and only while the partition is ours.
* An error that is not UnavailableError (a RetryError is one) is fatal: what is finished is committed, the group is
  left, the error raised.

Log events, on logger "event_stream.worker": worker.ready, worker.batch, worker.rewound, worker.restarted,
worker.paused, worker.resumed, worker.unavailable, worker.available, worker.lost, worker.failed, worker.stopped.
"""

import enum
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from event_stream import worker_log
from event_stream.binder import Consumer, LogBounds
from event_stream.channel import Channel
from event_stream.clock import Clock, SystemClock
from event_stream.errors import RetryError, TooManyDeadLettersError, UnavailableError
from event_stream.handler import Batch, BatchHandler, Handled, Rewind
from event_stream.message import Record
from event_stream.partition import Partition
from event_stream.registry import registry
from event_stream.retry import backoff_s
from event_stream.testing import crash_points
from event_stream.testing.crash_points import CrashPoint
from event_stream.unit_of_work import unit_of_work

logger = logging.getLogger("event_stream.worker")
T = TypeVar("T")

ASK_AGAIN_S = 1.0
"""After the platform has not answered, questions wait for this long: one that hangs would hold up the stop flag."""


class Until(enum.Enum):
    """When `Worker.run` ends by itself."""

    STOPPED = "stopped"
    """Never: only when it is told to."""
    ONCE = "once"
    """Each of its partitions has handled a batch or has nothing to read."""
    CAUGHT_UP = "caught up"
    """Each of its partitions has been read up to where it ended when the worker got it."""


class Worker:
    """One member of the group of a binding. Also the listener that its consumer tells of partitions."""

    def __init__(
        self, binding_name: str, handler: BatchHandler, *, channel: Channel | None = None, clock: Clock | None = None
    ) -> None:
        self._channel = channel or registry().channel(binding_name)
        self._settings = self._channel.binding.consumer
        self._handler = handler
        self._clock = clock or SystemClock()
        self._partitions: dict[int, Partition] = {}
        self._joined = False
        self._announced = False
        self._outage = False
        self._ask_at = 0.0
        self._consumer: Consumer

    @property
    def ready(self) -> bool:
        """It has joined the group, and its handler has started on every partition that it was given."""
        return self._joined and all(partition.started for partition in self._partitions.values())

    def run(self, stop: Callable[[], bool], until: Until = Until.STOPPED) -> None:
        """Until `stop` answers True, which is asked about twice a second, or until `until` has come.

        Raises whatever is fatal, after having committed what is done and left the group.
        """
        self._consumer = self._channel.subscribe(self)
        reason = "told to"
        try:
            while not stop():
                self._turn()
                if self._has_come(until):
                    reason = until.value
                    break
        except Exception:
            reason = "failed"
            logger.exception("worker.failed")
            raise
        finally:
            self._consumer.close()
            logger.info("worker.stopped", extra={"reason": reason})

    # What the consumer tells, from within poll and close.

    def assigned(self, partitions: Collection[int]) -> None:
        self._joined = True
        self._announced = False
        for number in partitions:
            self._partitions[number] = Partition(number)

    def revoked(self, partitions: Collection[int]) -> None:
        for number in partitions:
            partition = self._partitions.pop(number, None)
            if partition is not None and partition.started:
                try:
                    with unit_of_work():
                        self._handler.stop(number)
                except UnavailableError as error:
                    # There is no later for this one: the partition is gone.
                    logger.warning("worker.unavailable", extra={"partition": number, "reason": str(error)})
        if self._partitions:
            # Some platforms take away only what another member gets: say what is left.
            self._announced = False

    def lost(self, partitions: Collection[int]) -> None:
        logger.warning("worker.lost", extra={"partitions": sorted(partitions)})
        self.revoked(partitions)

    # One turn of the loop.

    def _turn(self) -> None:
        try:
            polled = self._consumer.poll(self._patience_s(), self._settings.batch_size)
            self._receive(polled)
            self._attend()
        except UnavailableError as error:
            # The platform's: a handler's own are dealt with where it is called.
            self._ask_at = self._clock.monotonic_s() + ASK_AGAIN_S
            if not self._outage:
                self._outage = True
                logger.warning("worker.unavailable", extra={"reason": str(error)})
        if self.ready and not self._announced:
            self._announced = True
            logger.info("worker.ready", extra={"partitions": sorted(self._partitions)})

    def _receive(self, polled: Mapping[int, Sequence[Record]]) -> None:
        # One that has not started yet will be sought to where it starts, and its records come again.
        ours = {number: p for number in polled if (p := self._partitions.get(number)) is not None and p.started}
        try:
            for number, partition in ours.items():
                first = polled[number][0].offset
                if first == partition.position or self._is_gap(partition, first):
                    self._handle(partition, polled[number])
        except UnavailableError:
            for number, partition in ours.items():
                self._consumer.seek(number, partition.position)
            raise

    def _handle(self, partition: Partition, records: Sequence[Record]) -> None:
        began = time.perf_counter()
        batch = Batch(partition.number, partition.position - 1, records)
        crash_points.reached(CrashPoint.WORKER_BATCH_IN_HAND)
        try:
            outcome = self._attempt(partition, lambda: self._handler.handle(batch))
        except TooManyDeadLettersError as stop:
            # What is parked is done, or whoever starts the worker again meets the same ones once more.
            self._consumer.commit({partition.number: max(stop.offset, partition.position)})
            raise
        if isinstance(outcome, Rewind):
            logger.info("worker.rewound", extra={"partition": partition.number, "offset": outcome.offset})
            self._seek(partition, outcome.offset)
        elif isinstance(outcome, Handled):
            partition.position = records[-1].offset + 1
            partition.handled = True
            partition.idle_at = self._next_idle()
            crash_points.reached(CrashPoint.WORKER_HANDLED_NOT_COMMITTED)
            self._consumer.commit({partition.number: partition.position})
            worker_log.batch_handled(batch, outcome, time.perf_counter() - began)

    def _attend(self) -> None:
        """Start the partitions that have not been started, and tell the idle ones."""
        now = self._clock.monotonic_s()
        if now < self._ask_at:
            return
        for partition in self._partitions.values():
            if partition.retry_at is not None and now >= partition.retry_at:
                partition.retry_at = None
                self._consumer.resume([partition.number])
                # Its records come first: a word of being idle before them would end the outage too soon.
                partition.idle_at = self._next_idle()
        waiting = [p for p in self._partitions.values() if p.retry_at is None]
        due = {p.number: p for p in waiting if not p.started or now >= p.idle_at}
        if due:
            for number, log in self._bounds(due).items():
                if due[number].started:
                    self._idle(due[number], log)
                else:
                    self._start(due[number], log)

    def _start(self, partition: Partition, log: LogBounds) -> None:
        committed = self._consumer.committed(partition.number)
        wanted = self._attempt(partition, lambda: (self._handler.start(partition.number, log, committed),))
        if wanted is None:
            return
        offset = next(offset for offset in (*wanted, committed, log.start) if offset is not None)
        if not log.start <= offset <= log.end:
            worker_log.restarted(partition, offset, log)
            offset = log.start
        partition.begin(offset, log)
        self._seek(partition, offset)

    def _idle(self, partition: Partition, log: LogBounds) -> None:
        partition.idle_at = self._next_idle()
        if not log.start <= partition.position <= log.end:
            self._restart(partition, log)
            return
        partition.found_nothing(self._consumer.position(partition.number), log)
        wanted = self._attempt(partition, lambda: (self._handler.idle(partition.number, partition.position, log),))
        if wanted is not None and wanted[0] is not None and wanted[0] != partition.position:
            self._seek(partition, wanted[0])

    def _is_gap(self, partition: Partition, offset: int) -> bool:
        """Records came that do not begin where they should. False if that is because the log is not what it was."""
        log = self._bounds([partition.number])[partition.number]
        if offset > partition.position >= log.start:
            return True  # compaction, or the marks of a transaction
        self._restart(partition, log)
        return False

    def _restart(self, partition: Partition, log: LogBounds) -> None:
        # Cut off before we came to it, or the topic was made anew: the handler hears of it as of an assignment.
        worker_log.restarted(partition, partition.position, log)
        partition.started = False
        self._start(partition, log)

    def _seek(self, partition: Partition, offset: int) -> None:
        self._consumer.seek(partition.number, offset)
        partition.position = offset
        partition.idle_at = self._next_idle()

    def _bounds(self, numbers: Collection[int]) -> Mapping[int, LogBounds]:
        bounds = self._consumer.bounds(numbers)
        if self._outage:
            self._outage = False
            logger.info("worker.available")
        return bounds

    def _attempt(self, partition: Partition, work: Callable[[], T]) -> T | None:
        """Have the handler do this. None where a server that it needs is away; the partition is paused then."""
        try:
            with unit_of_work():
                result = work()
        except UnavailableError as error:
            self._pause(partition, error)
            return None
        if partition.attempts:
            extra = {"partition": partition.number, "attempts": partition.attempts}
            logger.info("worker.resumed", extra=extra)
            partition.attempts = 0
        return result

    def _pause(self, partition: Partition, error: UnavailableError) -> None:
        partition.attempts = error.attempt if isinstance(error, RetryError) else partition.attempts + 1
        pause_s = backoff_s(
            partition.attempts, self._settings.retry_initial_ms / 1000, self._settings.retry_max_ms / 1000
        )
        partition.retry_at = self._clock.monotonic_s() + pause_s
        self._consumer.pause([partition.number])
        if partition.started:
            self._consumer.seek(partition.number, partition.position)
        worker_log.paused(partition, pause_s, error)

    def _patience_s(self) -> float:
        """How long the next poll may wait: neither past the stop flag nor past a partition to be tried again."""
        now = self._clock.monotonic_s()
        due = [p.retry_at - now for p in self._partitions.values() if p.retry_at is not None]
        return max(0.0, min([self._settings.poll_timeout_ms / 1000, *due]))

    def _next_idle(self) -> float:
        return self._clock.monotonic_s() + self._settings.idle_interval_ms / 1000

    def _has_come(self, until: Until) -> bool:
        if until is Until.STOPPED or not self.ready:
            return False
        if until is Until.ONCE:
            return all(p.handled or p.at_end for p in self._partitions.values())
        return all(p.caught_up for p in self._partitions.values())
