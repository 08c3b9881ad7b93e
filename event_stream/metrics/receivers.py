"""Counts what the signals of the event layer tell."""

import functools
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from event_stream import signals
from event_stream.conf import configuration
from event_stream.consumer.worker import PartitionState
from event_stream.metrics import names
from event_stream.metrics.names import child

if TYPE_CHECKING:
    # A project that has metrics need not have a cache or an outbox, nor what these need.
    from event_stream.consumer.handler import Batch
    from event_stream.consumer.worker import Worker
    from event_stream.fenced_cache import Change, Found
    from event_stream.fenced_cache.cache import FillOutcome
    from event_stream.messaging.message import ConsumerRecord
    from event_stream.outbox.relay import Relay
    from event_stream.outbox.store import Entry


@functools.cache
def _sending_bindings() -> tuple[str, ...]:
    return tuple(binding.name for binding in configuration().bindings.values() if binding.group is None)


def connect() -> None:
    for signal, receiver in (
        (signals.worker_polled, worker_polled),
        (signals.batch_handled, batch_handled),
        (signals.partition_paused, partition_paused),
        (signals.record_rejected, record_rejected),
        (signals.changes_applied, changes_applied),
        (signals.relay_polled, relay_polled),
        (signals.entries_published, entries_published),
        (signals.entry_parked, entry_parked),
        (signals.lookup_answered, lookup_answered),
        (signals.cache_filled, cache_filled),
        (signals.origin_called, origin_called),
        (signals.circuit_changed, circuit_changed),
    ):
        signal.connect(receiver, dispatch_uid="event_stream.metrics")


def worker_polled(worker: "Worker", **_: Any) -> None:
    name = worker.binding.name
    partitions = worker.partitions.values()
    child(names.WORKER_PARTITIONS, name).set(len(partitions))
    # One that is paused is no alarm, whatever its handler has met before.
    failing = sum(partition.state is PartitionState.RETRYING for partition in partitions)
    child(names.WORKER_FAILING_PARTITIONS, name).set(failing)
    child(names.WORKER_PAUSED_PARTITIONS, name).set(sum(partition.paused_on_purpose for partition in partitions))
    child(names.WORKER_LAST_ROUND, name).set(time.time())
    # A count that begins with its first event has no rate at that event.
    child(names.WORKER_RETRIES, name)
    child(names.RECORDS_REJECTED, worker.binding.destination)


def batch_handled(worker: "Worker", batch: "Batch", seconds: float, **_: Any) -> None:
    name, now_ms = worker.binding.name, time.time() * 1000
    child(names.WORKER_BATCH_SECONDS, name).observe(seconds)
    child(names.WORKER_DELIVERY_LAG_SECONDS, name).observe_many(
        max(0.0, now_ms - record.timestamp_ms) / 1000 for record in batch.records
    )


def partition_paused(worker: "Worker", **_: Any) -> None:
    child(names.WORKER_RETRIES, worker.binding.name).inc()


def record_rejected(record: "ConsumerRecord", **_: Any) -> None:
    child(names.RECORDS_REJECTED, record.destination).inc()


def changes_applied(changes: "Sequence[Change]", applied_at_ms: int, **_: Any) -> None:
    names.CACHE_EVICTION_LAG_SECONDS.observe_many(
        max(0, applied_at_ms - change.occurred_at_ms) / 1000 for change in changes if change.occurred_at_ms is not None
    )


def relay_polled(relay: "Relay", **_: Any) -> None:
    from event_stream.outbox.relay import is_embedded_relay_running  # noqa: PLC0415 - there is one, or nobody polls

    for binding in _sending_bindings():
        child(names.OUTBOX_PARKED, binding)
    embedded = str(is_embedded_relay_running()).lower()
    child(names.RELAY_LEADER, embedded).set(relay.is_leader)
    child(names.RELAY_LAST_ROUND, embedded).set(time.time())


def entries_published(entries: "Sequence[Entry]", published_at: Mapping[int, datetime], **_: Any) -> None:
    lags_s: dict[str, list[float]] = {}
    for entry in entries:
        if entry.id in published_at:
            lag_s = (published_at[entry.id] - entry.written_at).total_seconds()
            lags_s.setdefault(entry.binding, []).append(max(0.0, lag_s))
    for binding, of_binding in lags_s.items():
        child(names.OUTBOX_PUBLISH_LAG_SECONDS, binding).observe_many(of_binding)


def entry_parked(entry: "Entry", **_: Any) -> None:
    child(names.OUTBOX_PARKED, entry.binding).inc()


def lookup_answered(found: "Found | None", error: Exception | None, seconds: float, **_: Any) -> None:
    # That the origin has an older version than was asked for is an answer, too.
    answer = found or getattr(error, "found", None)
    if answer is None:
        child(names.CACHE_LOOKUP_SECONDS, "failed").observe(seconds)
        return
    result = answer.source.value
    child(names.CACHE_LOOKUP_SECONDS, result).observe(seconds)
    if result in names.KEPT_RESULTS:
        age_s = time.time() - answer.fresh_at_ms / 1000
        child(names.CACHE_ANSWER_AGE_SECONDS, result).observe(max(0.0, age_s))


def cache_filled(outcome: "FillOutcome | None", **_: Any) -> None:
    child(names.CACHE_FILLS, "unavailable" if outcome is None else outcome.name.lower()).inc()


def origin_called(outcome: str, attempt: int, **_: Any) -> None:
    child(names.ORIGIN_CALLS, outcome).inc()
    if attempt > 1:
        names.ORIGIN_RETRIES.inc()


def circuit_changed(circuit: str, is_open: bool, **_: Any) -> None:
    child(names.CIRCUIT_OPEN, circuit).set(is_open)
