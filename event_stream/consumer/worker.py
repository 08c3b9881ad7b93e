"""The loop of a consumer process: polls, hands each partition's records to a handler, commits what is done.

What it promises a handler, whatever the platform:

* Partitions are handled one batch at a time, in order, each from where `start` said.
* Nothing sleeps between polls. A handler whose server is away has its partition paused and tried again later, with
  growing pauses, and the other partitions go on.
* What is committed is what has been handled, and only while the partition is ours.
* A partition that a person has paused is not read, and everything else about it goes on: it is started, its handler
  hears that nothing comes, and it stays ours.
* An error that is not UnavailableError (a RetryError is one) is fatal: what is finished is committed, the group is
  left, the error raised.

Log events, on logger "event_stream.consumer.worker": worker.ready, worker.batch, worker.rewound, worker.restarted,
worker.paused, worker.resumed, worker.paused_on_purpose, worker.resumed_on_purpose, worker.unavailable,
worker.available, worker.lost, worker.failed, worker.stopped.
"""

import enum
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from event_stream import failpoints, signals
from event_stream.clock import Clock, SystemClock
from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.handler import Batch, BatchHandler, Handled, SeekTo
from event_stream.consumer.pauses import NO_PAUSES, Pauses
from event_stream.database_connections import database_connections
from event_stream.errors import RetryError, TooManyDeadLettersError, UnavailableError
from event_stream.failpoints import FailPoint
from event_stream.messaging import headers
from event_stream.messaging.binder import Consumer, OffsetRange
from event_stream.messaging.channel import Channel, registry
from event_stream.messaging.message import ConsumerRecord
from event_stream.outage_log import OutageLog
from event_stream.retry import backoff_s
from event_stream.user_context import CORRELATION_ID


class PartitionState(enum.StrEnum):
    """What a worker does with a partition."""

    STARTING = "starting"
    """It is ours, and its handler has not started on it yet."""
    READING = "reading"
    RETRYING = "retrying"
    """Its handler needs a server that is away: it waits, and tries again."""
    PAUSED = "paused"
    """A person has paused it."""


@dataclass(slots=True)
class Partition:
    """What a worker knows of one partition.

    `position` is the next offset to be handled; times are seconds of the worker's monotonic clock.
    """

    number: int
    started: bool = False
    position: int = 0
    target: int = 0
    """Where the log ended when the handler started on it."""
    idle_at: float = 0.0
    attempts: int = 0
    """Failed ones in a row."""
    retry_at: float | None = None
    """Paused until then."""
    error: str = ""
    """Why the last attempt failed; "" once one has succeeded."""
    paused_on_purpose: bool = False
    """A person has paused it."""
    handled: bool = False
    at_end: bool = False
    end: int | None = None
    """Where the log ended when somebody looked last, marks in it that are no records left aside."""
    look_at: float = 0.0
    """When its end is to be looked at again."""

    def begin(self, offset: int, log: OffsetRange) -> None:
        self.started = True
        self.target = log.end
        self.at_end = offset >= log.end

    def found_nothing(self, consumed: int, log: OffsetRange) -> None:
        """`consumed` is the consumer's own position, past marks in the log that are no records."""
        self.at_end = max(self.position, consumed) >= log.end
        if self.at_end:
            self.target = min(self.target, self.position)
            self.end = self.position

    @property
    def caught_up(self) -> bool:
        return self.position >= self.target

    @property
    def lag(self) -> int | None:
        """How far the position is behind the log's end, in offsets; None before it has been looked at."""
        return None if self.end is None or not self.started else max(0, self.end - self.position)

    @property
    def state(self) -> PartitionState:
        if self.paused_on_purpose:
            return PartitionState.PAUSED
        if self.error:
            return PartitionState.RETRYING
        return PartitionState.READING if self.started else PartitionState.STARTING


logger = logging.getLogger("event_stream.consumer.worker")
T = TypeVar("T")

LOOK_AT_END_S = 5.0
"""How often the end of a partition's log is looked at, however busy the partition is."""
ASK_AGAIN_S = 1.0
"""After the platform has not answered, questions wait for this long: one that hangs would hold up the stop flag."""


class StopCondition(enum.Enum):
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
        self._pauses = NO_PAUSES
        self._joined = False
        self._announced = False
        self._outage = OutageLog(logger, began="worker.unavailable", ended="worker.available")
        self._ask_at = 0.0
        self._consumer: Consumer

    @property
    def binding(self) -> Binding:
        return self._channel.binding

    @property
    def partitions(self) -> Mapping[int, Partition]:
        """The assigned ones by number, as of now; to be read on the worker's own thread."""
        return self._partitions

    @property
    def counts_offsets(self) -> bool:
        """Whether the lag of a partition is a number of messages."""
        return self._channel.capabilities.counted

    def pause(self, pauses: Pauses) -> None:
        """Leave these partitions unread from the next round on, and read the others. From any thread.

        It holds for partitions that are assigned later, too. A worker that is to end once it has caught up waits for
        them.
        """
        self._pauses = pauses

    def configure(self, consumer: ConsumerSettings) -> None:
        """Have these settings from the next round on. From any thread."""
        self._settings = consumer

    @property
    def settings(self) -> ConsumerSettings:
        """Those that it has now."""
        return self._settings

    @property
    def ready(self) -> bool:
        """It has joined the group, and its handler has started on every partition that it was given."""
        return self._joined and all(partition.started for partition in self._partitions.values())

    @property
    def reading(self) -> bool:
        """It is ready, and the platform has answered last; also of a worker that has ended, as it was then."""
        return self.ready and not self._outage.is_on()

    def run(self, stop: Callable[[], bool], until: StopCondition = StopCondition.STOPPED) -> None:
        """Until `stop` answers True, which is asked about twice a second, or until `until` has come.

        Raises whatever is fatal, after having committed what is done and left the group.
        """
        self._consumer = self._channel.subscribe(self)
        reason = "told to"
        try:
            while not stop():
                self._run_once()
                if self._stop_condition_met(until):
                    reason = until.value
                    break
        except Exception:
            reason = "failed"
            logger.exception("worker.failed")
            raise
        finally:
            self._consumer.close()
            logger.info("worker.stopped", extra={"reason": reason})
            signals.worker_stopped.send_robust(type(self), worker=self)

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
                    with database_connections():
                        self._handler.stop(number)
                except UnavailableError as error:
                    # There is no later for this one: the partition is gone.
                    logger.warning("worker.unavailable", extra={"partition": number, "error": str(error)})
        if self._partitions:
            # Some platforms take away only what another member gets: say what is left.
            self._announced = False

    def lost(self, partitions: Collection[int]) -> None:
        logger.warning("worker.lost", extra={"partitions": sorted(partitions)})
        self.revoked(partitions)

    # One round of the loop.

    def _run_once(self) -> None:
        try:
            self._follow_pauses()
            began = time.perf_counter()
            polled = self._consumer.poll(self._poll_timeout_s(), self._settings.batch_size)
            self._receive(polled, time.perf_counter() - began)
            self._service_partitions()
        except UnavailableError as error:
            # The platform's: a handler's own are dealt with where it is called.
            self._ask_at = self._clock.monotonic_s() + ASK_AGAIN_S
            self._outage.failed(error)
        if self.ready and not self._announced:
            self._announced = True
            logger.info("worker.ready", extra={"partitions": sorted(self._partitions)})
        signals.worker_polled.send_robust(type(self), worker=self)

    def _follow_pauses(self) -> None:
        pauses = self._pauses
        changed = [p for p in self._partitions.values() if p.paused_on_purpose != (p.number in pauses)]
        for partition in changed:
            partition.paused_on_purpose = not partition.paused_on_purpose
            if partition.paused_on_purpose:
                self._consumer.pause([partition.number])
            elif partition.retry_at is None:
                self._consumer.resume([partition.number])
            if partition.started:
                # What the consumer has at hand may have gone by while it was paused.
                self._seek(partition, partition.position)
        for event, numbers in (
            ("worker.paused_on_purpose", [p.number for p in changed if p.paused_on_purpose]),
            ("worker.resumed_on_purpose", [p.number for p in changed if not p.paused_on_purpose]),
        ):
            if numbers:
                logger.info(event, extra={"partitions": sorted(numbers)})

    def _receive(self, polled: Mapping[int, Sequence[ConsumerRecord]], seconds: float) -> None:
        # One that has not started yet will be sought to where it starts, and its records come again.
        ours = {number: p for number in polled if (p := self._partitions.get(number)) is not None and p.started}
        if ours:
            records = {number: polled[number] for number in ours}
            signals.records_received.send_robust(type(self), worker=self, records=records, seconds=seconds)
        try:
            for number, partition in ours.items():
                first = polled[number][0].offset
                if first == partition.position or self._is_gap(partition, first):
                    self._handle(partition, polled[number])
        except UnavailableError:
            for number, partition in ours.items():
                self._consumer.seek(number, partition.position)
            raise

    def _handle(self, partition: Partition, records: Sequence[ConsumerRecord]) -> None:
        received_at_ms, began = self._clock.now_ms(), time.perf_counter()
        batch = Batch(partition.number, partition.position - 1, records)
        failpoints.reached(FailPoint.WORKER_BATCH_IN_HAND)
        try:
            outcome = self._attempt(partition, lambda: self._call_handler(batch))
        except TooManyDeadLettersError as stop:
            # What is parked is done, or whoever starts the worker again meets the same ones once more.
            self._consumer.commit({partition.number: max(stop.offset, partition.position)})
            raise
        if isinstance(outcome, SeekTo):
            logger.info("worker.rewound", extra={"partition": partition.number, "offset": outcome.offset})
            self._seek(partition, outcome.offset)
        elif isinstance(outcome, Handled):
            partition.position = records[-1].offset + 1
            partition.handled = True
            partition.idle_at = self._next_idle()
            failpoints.reached(FailPoint.WORKER_HANDLED_NOT_COMMITTED)
            self._consumer.commit({partition.number: partition.position})
            seconds = time.perf_counter() - began
            batch_handled(batch, outcome, seconds)
            signals.batch_handled.send_robust(
                type(self), worker=self, batch=batch, outcome=outcome, received_at_ms=received_at_ms, seconds=seconds
            )

    def _call_handler(self, batch: Batch) -> Handled | SeekTo:
        signals.batch_begun.send_robust(type(self), worker=self, batch=batch)
        error: Exception | None = None
        try:
            return self._handler.handle(batch)
        except Exception as raised:
            error = raised
            raise
        finally:
            signals.batch_ended.send_robust(type(self), worker=self, batch=batch, error=error)

    def _service_partitions(self) -> None:
        """Start the partitions that have not been started, and tell the idle ones."""
        now = self._clock.monotonic_s()
        if now < self._ask_at:
            return
        for partition in self._partitions.values():
            if partition.retry_at is not None and now >= partition.retry_at:
                partition.retry_at = None
                if not partition.paused_on_purpose:
                    self._consumer.resume([partition.number])
                # Its records come first: a word of being idle before them would end the outage too soon.
                partition.idle_at = self._next_idle()
        waiting = [p for p in self._partitions.values() if p.retry_at is None]
        due = {p.number: p for p in waiting if not p.started or now >= p.idle_at}
        unknown = {p.number for p in self._partitions.values() if p.started and now >= p.look_at}
        if due or unknown:
            for number, log in self._bounds(due.keys() | unknown).items():
                if number not in due:
                    continue
                if due[number].started:
                    self._idle(due[number], log)
                else:
                    self._start(due[number], log)

    def _start(self, partition: Partition, log: OffsetRange) -> None:
        committed = self._consumer.committed(partition.number)
        wanted = self._attempt(partition, lambda: (self._handler.start(partition.number, log, committed),))
        if wanted is None:
            return
        offset = next(offset for offset in (*wanted, committed, log.start) if offset is not None)
        if not log.start <= offset <= log.end:
            restarted(partition, offset, log)
            offset = log.start
        partition.begin(offset, log)
        self._seek(partition, offset)

    def _idle(self, partition: Partition, log: OffsetRange) -> None:
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

    def _restart(self, partition: Partition, log: OffsetRange) -> None:
        # Cut off before we came to it, or the topic was created again: the handler hears of it as of an assignment.
        restarted(partition, partition.position, log)
        partition.started = False
        self._start(partition, log)

    def _seek(self, partition: Partition, offset: int) -> None:
        self._consumer.seek(partition.number, offset)
        partition.position = offset
        partition.idle_at = self._next_idle()

    def _bounds(self, numbers: Collection[int]) -> Mapping[int, OffsetRange]:
        bounds = self._consumer.bounds(numbers)
        self._outage.succeeded()
        look_at = self._clock.monotonic_s() + LOOK_AT_END_S
        for number, log in bounds.items():
            self._partitions[number].end = log.end
            self._partitions[number].look_at = look_at
        return bounds

    def _attempt(self, partition: Partition, work: Callable[[], T]) -> T | None:
        """Have the handler do this. None where a server that it needs is away; the partition is paused then."""
        try:
            with database_connections():
                result = work()
        except UnavailableError as error:
            self._pause(partition, error)
            return None
        if partition.attempts:
            extra = {"partition": partition.number, "attempts": partition.attempts}
            logger.info("worker.resumed", extra=extra)
            partition.attempts = 0
            partition.error = ""
            signals.partition_resumed.send_robust(type(self), worker=self, partition=partition.number)
        return result

    def _pause(self, partition: Partition, error: UnavailableError) -> None:
        partition.error = str(error)
        partition.attempts = error.attempt if isinstance(error, RetryError) else partition.attempts + 1
        pause_s = backoff_s(
            partition.attempts, self._settings.retry_initial_ms / 1000, self._settings.retry_max_ms / 1000
        )
        partition.retry_at = self._clock.monotonic_s() + pause_s
        self._consumer.pause([partition.number])
        if partition.started:
            self._consumer.seek(partition.number, partition.position)
        paused(partition, pause_s, error)
        signals.partition_paused.send_robust(
            type(self), worker=self, partition=partition.number, pause_s=pause_s, error=error
        )

    def _poll_timeout_s(self) -> float:
        """How long the next poll may wait: neither past the stop flag nor past a partition to be tried again."""
        now = self._clock.monotonic_s()
        due = [p.retry_at - now for p in self._partitions.values() if p.retry_at is not None]
        return max(0.0, min([self._settings.poll_timeout_ms / 1000, *due]))

    def _next_idle(self) -> float:
        return self._clock.monotonic_s() + self._settings.idle_interval_ms / 1000

    def _stop_condition_met(self, until: StopCondition) -> bool:
        if until is StopCondition.STOPPED or not self.ready:
            return False
        if until is StopCondition.ONCE:
            return all(p.handled or p.at_end for p in self._partitions.values())
        return all(p.caught_up for p in self._partitions.values())


def batch_handled(batch: Batch, outcome: Handled, seconds: float) -> None:
    """One line a batch, with the correlation ids of its messages."""
    level = logging.DEBUG if outcome.quiet else logging.INFO
    if not logger.isEnabledFor(level):
        return
    correlation_ids = [
        headers.decode([header])[CORRELATION_ID]
        for record in batch.records
        for header in record.headers
        if header[0] == CORRELATION_ID
    ]
    extra = {
        "partition": batch.partition,
        "first_offset": batch.records[0].offset,
        "last_offset": batch.records[-1].offset,
        "count": len(batch.records),
        "correlation_ids": list(dict.fromkeys(correlation_ids)),
        "duration_s": round(seconds, 6),
    }
    logger.log(level, "worker.batch", extra=extra)


def paused(partition: Partition, pause_s: float, error: Exception) -> None:
    """A warning once an outage; the attempts that follow are for debugging."""
    level = logging.WARNING if partition.attempts == 1 else logging.DEBUG
    extra = {"partition": partition.number, "attempt": partition.attempts, "pause_s": round(pause_s, 3)}
    logger.log(level, "worker.paused", extra=extra | {"error": str(error)})


def restarted(partition: Partition, offset: int, log: OffsetRange) -> None:
    """The log does not hold the offset that was to be read from."""
    extra = {"partition": partition.number, "offset": offset, "log_start": log.start, "log_end": log.end}
    logger.warning("worker.restarted", extra=extra)
