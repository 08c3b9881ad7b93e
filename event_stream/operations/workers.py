"""What a worker reports of itself: its partitions, how fast it handles, what holds it up. It follows the pauses."""

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from event_stream.conf import Binding, ConsumerSettings
from event_stream.consumer.handler import Batch
from event_stream.consumer.worker import Partition, Worker
from event_stream.operations.models import Process
from event_stream.operations.pauses import read_pauses
from event_stream.operations.reporting import reporter

RATE_WINDOW_S = 10.0
_FIRST_PAUSES_S = 3.0
"""How long a worker waits at its start for the pauses; without the database it goes on without."""


class Rate:
    """How fast a count has grown within the last seconds."""

    def __init__(self, window_s: float = RATE_WINDOW_S) -> None:
        self._window_s = window_s
        self._counts: deque[tuple[float, int]] = deque()

    def per_s(self, count: int, now_s: float) -> float:
        """Note the count as of now; return the growth a second since the oldest one that is noted."""
        self._counts.append((now_s, count))
        while len(self._counts) > 2 and now_s - self._counts[1][0] >= self._window_s:
            self._counts.popleft()
        first_s, first = self._counts[0]
        return (count - first) / (now_s - first_s) if now_s > first_s else 0.0


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """One partition in a worker's row. `lag` is None where the platform's offsets count no messages."""

    number: int
    state: str
    since_ms: int
    position: int | None
    lag: int | None
    handled: int
    rate: float
    error: str


class WorkerReport:
    """The subject of a worker. `polled` and `handled` are called on the worker's thread, the rest on the reporter's."""

    kind = Process.Kind.WORKER

    def __init__(self, worker: Worker, interval_s: float) -> None:
        self._worker = worker
        self._interval_s = interval_s
        self._due_s = 0.0
        self._handled: Counter[int] = Counter()
        self._rates: dict[int, Rate] = {}
        self._since: dict[int, tuple[str, int]] = {}
        self._partitions: list[PartitionReport] = []
        self._polled_ms = 0
        self._sampled = 0
        self.binding = worker.binding.name

    @property
    def configuration(self) -> Mapping[str, Any]:
        return _configuration(self._worker.binding, self._worker.settings)

    # On the worker's thread.

    def polled(self) -> None:
        """Take down how the worker fares, every now and then: between rounds nothing changes it."""
        now_s = time.monotonic()
        self._polled_ms = time.time_ns() // 1_000_000
        if now_s >= self._due_s:
            self._due_s = now_s + self._interval_s
            self._partitions = [self._look(partition, now_s) for partition in self._worker.partitions.values()]

    def handled(self, batch: Batch) -> None:
        self._handled[batch.partition] += len(batch.records)

    def _look(self, partition: Partition, now_s: float) -> PartitionReport:
        number, state = partition.number, partition.state
        before, since_ms = self._since.get(number, ("", 0))
        if before != state:
            since_ms = self._polled_ms
            self._since[number] = (state, since_ms)
        handled = self._handled[number]
        return PartitionReport(
            number=number,
            state=state,
            since_ms=since_ms,
            position=partition.position if partition.started else None,
            lag=partition.lag if self._worker.counts_offsets or partition.lag == 0 else None,
            handled=handled,
            rate=round(self._rates.setdefault(number, Rate()).per_s(handled, now_s), 2),
            error=partition.error,
        )

    # On the reporter's.

    def follow(self) -> None:
        self._worker.pause(read_pauses(self.binding))

    def state(self) -> Mapping[str, Any]:
        partitions = self._partitions
        return {
            "polled_ms": self._polled_ms,
            "handled": sum(partition.handled for partition in partitions),
            "partitions": [asdict(partition) for partition in partitions],
        }

    def samples(self) -> Mapping[str, float]:
        partitions, handled = self._partitions, sum(dict(self._handled).values())
        values = {handled_series(self.binding): float(handled - self._sampled)}
        self._sampled = handled
        if all(partition.lag is not None for partition in partitions):
            values[lag_series(self.binding)] = float(sum(partition.lag or 0 for partition in partitions))
        if also := _also_sampled.get(self.binding):
            values |= also()
        return values


_also_sampled: dict[str, Callable[[], Mapping[str, float]]] = {}


def sample_also(binding: str, function: Callable[[], Mapping[str, float]]) -> None:
    """Have the workers of a binding record what the function returns, a value a series. It raises nothing."""
    _also_sampled[binding] = function


def handled_series(binding: str) -> str:
    """The name of the series with the number of messages handled in each interval."""
    return f"worker.handled.{binding}"


def lag_series(binding: str) -> str:
    return f"worker.lag.{binding}"


def _configuration(binding: Binding, consumer: ConsumerSettings) -> dict[str, Any]:
    """Without the platform's properties, which may hold secrets."""
    return {
        "destination": binding.destination,
        "group": binding.group,
        "binder": binding.binder,
        "batch_size": consumer.batch_size,
        "retry_initial_ms": consumer.retry_initial_ms,
        "retry_max_ms": consumer.retry_max_ms,
        "retry_attempts": consumer.retry_attempts,
        "dead_letters": consumer.dead_letters,
        "dead_letter_limit": consumer.dead_letter_limit,
    }


# The receivers of the signals.

_reports: dict[int, WorkerReport] = {}


def on_polled(worker: Worker, **_kwargs: Any) -> None:
    report = _reports.get(id(worker))
    if report is None:
        current = reporter()
        report = _reports[id(worker)] = WorkerReport(worker, current.status_interval_s)
        current.add(report, wait_s=_FIRST_PAUSES_S)
    report.polled()


def on_batch_handled(worker: Worker, batch: Batch, **_kwargs: Any) -> None:
    if report := _reports.get(id(worker)):
        report.handled(batch)


def on_stopped(worker: Worker, **_kwargs: Any) -> None:
    if report := _reports.pop(id(worker), None):
        reporter().end(report)
