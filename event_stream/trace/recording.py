"""Receivers of the event layer's signals: what a process does becomes rows for the writer."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.dispatch import Signal
from django.utils import timezone

from event_stream import signals, user_context
from event_stream.conf import configuration
from event_stream.consumer.handler import Batch, Handled
from event_stream.consumer.worker import Worker
from event_stream.dead_letters.record import DeadLetterSummary
from event_stream.errors import HeldError, RetryError
from event_stream.fenced_cache import CacheStatus, Found
from event_stream.fenced_cache.cache import FillOutcome
from event_stream.messaging.message import ConsumerRecord, RecordMetadata
from event_stream.process_name import process_name
from event_stream.trace.models import CacheFill, HandledBatch, ParkedRecord, PartitionState, SettledRecord
from event_stream.trace.settings import trace_settings
from event_stream.trace.writer import process_writer

STATED_EVERY_S = 5.0
BY_A_PERSON = "somebody has paused it, and has to resume it"
_REMEMBERED = 10_000
_MAX_REASON = 500


def connect() -> None:
    """Connect the receivers, if this service is to record. Raises ConfigurationError for a wrong setting."""
    if trace_settings().record:
        for signal, receiver in (*receivers_of(WorkerRecorder()), *receivers_of(LookupRecorder())):
            signal.connect(receiver, weak=False, dispatch_uid="trace")
        signals.letter_settled.connect(record_settlement, dispatch_uid="trace")


def receivers_of(recorder: "WorkerRecorder | LookupRecorder") -> list[tuple[Signal, Callable[..., None]]]:
    """Return the recorder's methods, each with the signal that it is for."""
    if isinstance(recorder, LookupRecorder):
        return [(signals.cache_filled, recorder.filled), (signals.lookup_answered, recorder.answered)]
    return [
        (signals.batch_handled, recorder.batch_handled),
        (signals.worker_polled, recorder.polled),
        (signals.worker_stopped, recorder.stopped),
        (signals.partition_paused, recorder.paused),
        (signals.partition_resumed, recorder.resumed),
        (signals.record_rejected, recorder.rejected),
    ]


@dataclass(slots=True)
class _Pause:
    since: datetime
    reason: str


@dataclass(slots=True)
class _Group:
    """What one worker of this process has said. Its receivers run on the worker's thread alone."""

    state_at_s: float = 0.0
    partitions: frozenset[int] = frozenset()
    positions: dict[int, int] = field(default_factory=dict)
    pauses: dict[int, _Pause] = field(default_factory=dict)
    """A server is away that the handler needs."""
    held: dict[int, _Pause] = field(default_factory=dict)
    """A person has paused them."""


class WorkerRecorder:
    """Records the batches, parked records and positions of workers whose bindings the setting `consumes` names."""

    def __init__(self) -> None:
        self._consumes = frozenset(trace_settings().consumes)
        self._groups: dict[str, _Group] = {}
        self._of_destination: dict[str, str] = {}

    def batch_handled(
        self, worker: Worker, batch: Batch, outcome: Handled, received_at_ms: int, seconds: float, **_: Any
    ) -> None:
        group = self._group(worker)
        if group is None:
            return
        group.positions[batch.partition] = batch.records[-1].offset + 1
        # Heartbeats alone would be a row a second for each partition, and no change is in them.
        if outcome.quiet:
            return
        received_at = datetime.fromtimestamp(received_at_ms / 1000, UTC)
        process_writer().add(
            HandledBatch(
                destination=worker.binding.destination,
                group=worker.binding.group or "",
                partition=batch.partition,
                first_offset=batch.records[0].offset,
                last_offset=batch.records[-1].offset,
                received_at=received_at,
                handled_at=datetime.fromtimestamp(received_at_ms / 1000 + seconds, UTC),
                process=process_name(),
                evictions=outcome.evictions,
            )
        )

    def polled(self, worker: Worker, **_: Any) -> None:
        now_s = time.monotonic()
        group = self._group(worker)
        if group is None:
            return
        held = {number for number, partition in worker.partitions.items() if partition.paused_on_purpose}
        is_unchanged = group.partitions == worker.partitions.keys() and group.held.keys() == held
        if is_unchanged and now_s < group.state_at_s:
            return
        group.state_at_s = now_s + STATED_EVERY_S
        group.partitions = frozenset(worker.partitions)
        group.held = {number: group.held.get(number) or _Pause(timezone.now(), BY_A_PERSON) for number in held}
        self._state(worker, group, *worker.partitions)

    def stopped(self, worker: Worker, **_: Any) -> None:
        """Say so of the partitions that it had; whoever takes them over says otherwise within 5 s."""
        group = self._groups.pop(worker.binding.name, None)
        if group is not None:
            self._state(worker, group, *group.partitions, stopped=True)

    def paused(self, worker: Worker, partition: int, error: Exception, **_: Any) -> None:
        group = self._group(worker)
        if group is not None and partition not in group.pauses:
            group.pauses[partition] = _Pause(timezone.now(), reason(error))
            self._state(worker, group, partition)

    def resumed(self, worker: Worker, partition: int, **_: Any) -> None:
        group = self._group(worker)
        if group is not None and group.pauses.pop(partition, None) is not None:
            self._state(worker, group, partition)

    def rejected(self, record: ConsumerRecord, error: Exception, **_: Any) -> None:
        group = self._of_destination.get(record.destination)
        if group is None:
            return
        process_writer().add(
            ParkedRecord(
                destination=record.destination,
                group=group,
                partition=record.partition,
                offset=record.offset,
                parked_at=timezone.now(),
                process=process_name(),
                error=f"{type(error).__module__}.{type(error).__qualname__}",
                blocked=isinstance(error, HeldError),
            )
        )

    def _group(self, worker: Worker) -> _Group | None:
        binding = worker.binding
        if binding.name not in self._consumes:
            return None
        self._of_destination[binding.destination] = binding.group or ""
        return self._groups.setdefault(binding.name, _Group())

    def _state(self, worker: Worker, group: _Group, *numbers: int, stopped: bool = False) -> None:
        now = timezone.now()
        for number in numbers:
            partition = worker.partitions.get(number)
            pause = group.held.get(number) or group.pauses.get(number)
            if partition is not None and partition.started:
                group.positions[number] = partition.position
            process_writer().add(
                PartitionState(
                    destination=worker.binding.destination,
                    group=worker.binding.group or "",
                    partition=number,
                    position=group.positions.get(number),
                    seen_at=now,
                    process=process_name(),
                    paused_at=pause.since if pause else None,
                    reason=pause.reason if pause else "",
                    stopped=stopped,
                )
            )


def record_settlement(letter: DeadLetterSummary, receipt: RecordMetadata | None, **_: Any) -> None:
    """Record it where the letter's binding is traced. A person's page or command settles, in no worker."""
    bindings = (configuration().bindings[name] for name in trace_settings().consumes)
    if not any((binding.destination, binding.group) == (letter.destination, letter.group) for binding in bindings):
        return
    process_writer().add(
        SettledRecord(
            destination=letter.destination,
            group=letter.group,
            partition=letter.origin.partition,
            offset=letter.origin.offset,
            settled_at=timezone.now(),
            process=process_name(),
            replay_partition=None if receipt is None else receipt.partition,
            replay_offset=None if receipt is None else receipt.offset,
        )
    )


class LookupRecorder:
    """Records the first time that this process has brought a version of a key into the cache.

    `filled` and `answered` of one lookup run on one thread, one after the other.
    """

    def __init__(self) -> None:
        self._filled = threading.local()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, int] = OrderedDict()

    def filled(self, id: str, version: int, outcome: FillOutcome | None, **_: Any) -> None:
        if outcome is FillOutcome.FILLED:
            self._filled.last = id, timezone.now()

    def answered(self, id: str, found: Found | None, **_: Any) -> None:
        if found is None or found.source is not CacheStatus.MISS:
            return
        # Others that waited for the same flight fill nothing; and a lookup that failed leaves its note behind.
        filled_id, filled_at = self._filled.__dict__.pop("last", (None, None))
        if filled_id != id or not found.version or not self._is_new(id, found.version):
            return
        context = user_context.current()
        process_writer().add(
            CacheFill(
                key=id,
                version=found.version,
                filled_at=filled_at,
                answered_at=timezone.now(),
                process=process_name(),
                correlation_id=context.correlation_id if context else "",
            )
        )

    def _is_new(self, id: str, version: int) -> bool:
        """An entry that has only expired, or is not kept fresh, is filled with the same version over and over."""
        with self._lock:
            if self._known.get(id) == version:
                return False
            self._known[id] = version
            self._known.move_to_end(id)
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
            return True


def reason(error: Exception) -> str:
    """Return why a partition is paused.

    It is a text about a server. That of an application's error may quote a message, so only its class is kept.
    """
    if isinstance(error, RetryError):
        cause = error.__cause__
        return f"{type(cause or error).__name__}, tried {error.attempt} times"
    return str(error).replace("\x00", "")[:_MAX_REASON]
