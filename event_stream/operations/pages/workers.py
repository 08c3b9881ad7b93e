"""Bindings and workers: who reads what, how far, how fast, and what a person has paused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.text import capfirst

from event_stream.conf import Binding, configuration
from event_stream.consumer.pauses import Pauses, pauses
from event_stream.consumer.worker import PartitionState
from event_stream.operations.actions import log_action
from event_stream.operations.charts import Chart, chart
from event_stream.operations.models import Pause, Process
from event_stream.operations.pages import OPERATE, ActionError
from event_stream.operations.pauses import pause, resume
from event_stream.operations.processes import Seen, moment, running, seen_processes
from event_stream.operations.series import Series
from event_stream.operations.workers import handled_series, lag_series

_LONGEST_REASON = 200


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """`worker` is None where none reports the partition; then only what a person wants of it is known."""

    number: int
    worker: Seen | None
    state: str
    explanation: str
    since: datetime | None
    position: int | None = None
    lag: int | None = None
    rate: float = 0.0
    handled: int = 0
    error: str = ""
    pause: Pause | None = None
    """Its own, and not its binding's."""


@dataclass(frozen=True, slots=True)
class BindingView:
    binding: Binding
    partitions: Sequence[PartitionRow]
    workers: Sequence[Seen]
    last_worker: Seen | None
    """Where none is there: the last one that was."""
    pause: Pause | None
    """Of the whole binding."""
    pauses: Pauses
    charts: Sequence[Chart]

    @property
    def rate(self) -> float:
        return sum(row.rate for row in self.partitions)

    @property
    def lag(self) -> int | None:
        """None where it is not known of every partition that is read."""
        lags = [row.lag for row in self.partitions if row.worker is not None]
        return None if not lags or None in lags else sum(lag or 0 for lag in lags)


class WorkersPage:
    slug = "workers"
    title = "Bindings and workers"
    refreshes = True
    permission = OPERATE

    def is_available(self) -> bool:
        return bool(_consuming())

    def context(self, request: HttpRequest) -> Mapping[str, Any]:
        seen = seen_processes(Process.Kind.WORKER)
        asked = list(Pause.objects.all())
        return {
            "bindings": [
                _view(binding, [worker for worker in seen if worker.process.binding == binding.name], asked)
                for binding in _consuming()
            ]
        }

    def act(self, request: HttpRequest) -> str:
        binding, partition = request.POST.get("binding", ""), _number(request.POST.get("partition", ""))
        if binding not in {consuming.name for consuming in _consuming()}:
            raise ActionError("There is no such binding.")
        what = f"the binding {binding}" if partition is None else f"partition {partition} of {binding}"
        reason = request.POST.get("reason", "").strip()[:_LONGEST_REASON]
        action = request.POST.get("action")
        if action == "pause":
            if not pause(binding, partition, reason):
                raise ActionError(f"{capfirst(what)} was paused already.")
            log_action(request.user.pk, what, f"Paused.{f' Reason: {reason}' if reason else ''}")
            return f"{capfirst(what)} is paused; its worker follows within seconds."
        if action == "resume":
            if not resume(binding, partition):
                raise ActionError(f"{capfirst(what)} was not paused.")
            log_action(request.user.pk, what, "Resumed.")
            return f"{capfirst(what)} is resumed; its worker follows within seconds."
        raise ActionError("There is no such action.")


def _consuming() -> list[Binding]:
    return [binding for binding in configuration().bindings.values() if binding.group is not None]


def _number(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ActionError("A partition is a whole number.")
    return int(text)


def _view(binding: Binding, seen: Sequence[Seen], asked: Iterable[Pause]) -> BindingView:
    of_binding = [pause for pause in asked if pause.binding == binding.name]
    own = {pause.partition: pause for pause in of_binding}
    wanted = pauses(pause.partition for pause in of_binding)
    workers = running(seen)
    reported = {report["number"]: (worker, report) for worker in _oldest_first(workers) for report in _reports(worker)}
    # Of partitions that nobody reads now, those who did last still tell that they are there.
    known = {report["number"] for worker in seen for report in _reports(worker)}
    numbers = sorted(known | {number for number in own if number is not None})
    rows = [_row(number, reported.get(number), wanted, own.get(number)) for number in numbers]
    lag = Series(lag_series(binding.name), "Lag", "messages")
    handled = Series(handled_series(binding.name), "Handled", "messages", counted=True)
    return BindingView(
        binding,
        rows,
        workers,
        None if workers else next(iter(seen), None),
        own.get(None),
        wanted,
        [chart(lag), chart(handled)],
    )


def _oldest_first(workers: Sequence[Seen]) -> list[Seen]:
    """Of two that name the same partition, while it moves from one to the other, the newer report counts."""
    return sorted(workers, key=lambda worker: worker.process.seen_at)


def _reports(worker: Seen) -> list[dict[str, Any]]:
    return list(worker.state.get("partitions", []))


def _row(number: int, reported: tuple[Seen, dict[str, Any]] | None, wanted: Pauses, own: Pause | None) -> PartitionRow:
    if reported is None:
        state = "paused" if number in wanted else "no worker"
        explanation = "no worker has it now" if number in wanted else "none of the running workers has it"
        return PartitionRow(number, None, state, explanation, own.paused_at if own else None, pause=own)
    worker, report = reported
    state, explanation = _state(report["state"], number in wanted)
    return PartitionRow(
        number=number,
        worker=worker,
        state=state,
        explanation=explanation,
        since=moment(report["since_ms"]),
        position=report["position"],
        lag=report["lag"],
        rate=report["rate"],
        handled=report["handled"],
        error=report["error"],
        pause=own,
    )


_EXPLANATIONS = {
    PartitionState.STARTING: "the worker has it, and has not begun to read it yet",
    PartitionState.READING: "the worker reads it",
    PartitionState.RETRYING: "a server that its handler needs is away; it is tried again and again",
    PartitionState.PAUSED: "a person has paused it; nothing of it is lost",
}


def _state(reported: str, wanted_paused: bool) -> tuple[str, str]:
    is_paused = reported == PartitionState.PAUSED
    if wanted_paused and not is_paused:
        return "pausing", "its worker has not followed yet"
    if is_paused and not wanted_paused:
        return "resuming", "its worker has not followed yet"
    return reported, _EXPLANATIONS[PartitionState(reported)]
