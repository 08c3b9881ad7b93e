"""A trace in words, for the terminal, and as JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from event_stream.trace.timeline import Line, State, Step, Trace

MARKS = {State.DONE: "✓", State.WAITING: "…", State.FAILED: "✗", State.DISCARDED: "✗", State.UNKNOWN: "?"}
_AS_A_LIST = 3
"""Up to so many messages are shown with all of their steps; of more, those that stand out."""


def verdict(trace: Trace) -> str:
    """Return one word or two for the whole: complete, applied, parked, discarded, waiting, unknown."""
    if not trace.is_known:
        return "unknown"
    if trace.is_complete:
        return "complete"
    if trace.has_failed:
        return "parked"
    if trace.was_discarded:
        return "discarded"
    if trace.missing:
        return "incomplete"
    return "applied, not looked up since" if trace.is_applied else "waiting"


def summary(trace: Trace) -> str:
    """Return the totals in a sentence."""
    total = f"{trace.total}{'+' if trace.capped else ''} message{'' if trace.total == 1 else 's'}"
    applied = f"{'' if trace.applied_is_exact else 'at least '}{trace.applied} applied"
    parked = f", {trace.parked} parked" if trace.parked else ""
    return f"{total}: {trace.sent} sent{parked}, {applied}"


def lines(trace: Trace) -> Iterator[str]:
    """Yield what a person reads in a terminal."""
    yield f"trace {trace.correlation_id}: {verdict(trace)}"
    if trace.lines:
        yield summary(trace)
    for service in trace.missing:
        yield f"? {service.service} can't be asked: {service.problem}"
    if len(trace.lines) <= _AS_A_LIST:
        for line in trace.lines:
            yield from _of_line(line)
    else:
        yield from _outstanding(trace)
    for fill in trace.fills:
        yield (
            f"its own lookups: {fill.key} version {fill.version} came into the cache at {_time(fill.filled_at)} "
            f"in {fill.process}"
        )


def _outstanding(trace: Trace) -> Iterator[str]:
    if len(trace.lines) < trace.total:
        yield f"looked at one by one: {len(trace.lines)}, those that wait first"
    if trace.slowest:
        yield "the slowest, from the row to the eviction:"
        yield from (f"  {line.took_ms or 0:10.1f} ms  {_name(line)}" for line in trace.slowest)
    if trace.unapplied:
        yield "not applied everywhere:"
        for line in trace.unapplied:
            step = next(step for step in line.steps if step.state is not State.DONE)
            yield f"  {MARKS[step.state]} {_name(line)}: {step.name}: {step.text}"


def _of_line(line: Line) -> Iterator[str]:
    yield _name(line)
    yield from (f"  {of_step(step)}" for step in line.steps)


def _name(line: Line) -> str:
    version = "" if line.change.version is None else f" version {line.change.version}"
    return f"{line.change.key or '(no key)'}{version}"


def of_step(step: Step) -> str:
    at = _time(step.at) if step.at else ""
    took = "" if step.duration_ms is None else f"+{step.duration_ms:.1f} ms"
    where = " ".join(part for part in (step.service, step.process) if part)
    return f"{MARKS[step.state]} {step.name:<9} {at:<23} {took:>12}  {where}{': ' if step.text else ''}{step.text}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def as_dict(trace: Trace) -> dict[str, Any]:
    """Return the trace for json.dumps: names in camelCase, instants in RFC 3339, durations in ms."""
    return {
        "correlationId": trace.correlation_id,
        "state": verdict(trace),
        "complete": trace.is_complete,
        "applied": trace.is_applied,
        "totals": {
            "messages": trace.total,
            "capped": trace.capped,
            "sent": trace.sent,
            "parked": trace.parked,
            "applied": trace.applied,
            "appliedIsExact": trace.applied_is_exact,
        },
        "messages": [_line_as_dict(line) for line in trace.lines],
        "slowest": [_line_as_dict(line) for line in trace.slowest],
        "fills": [_camel(asdict(fill)) for fill in trace.fills],
        "missingServices": [asdict(service) for service in trace.missing],
    }


def _line_as_dict(line: Line) -> dict[str, Any]:
    change = line.change
    return {
        "key": change.key,
        "version": change.version,
        "complete": line.is_complete,
        "tookMs": line.took_ms,
        "steps": [_camel(asdict(step)) for step in line.steps],
    }


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    return {_camel_name(name): _plain(value) for name, value in values.items()}


def _camel_name(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _plain(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def news(before: Trace | None, now: Trace) -> Iterable[str]:
    """Yield the steps that are done in `now` and were not in `before`."""
    known = set() if before is None else {_identity(line, step) for line in before.lines for step in _done(line)}
    for line in now.lines:
        for step in _done(line):
            if _identity(line, step) not in known:
                prefix = f"{_name(line)}  " if len(now.lines) > 1 else ""
                yield f"{prefix}{of_step(step)}"


def _done(line: Line) -> Iterator[Step]:
    return (step for step in line.steps if step.state in {State.DONE, State.FAILED, State.DISCARDED})


def _identity(line: Line, step: Step) -> tuple[object, ...]:
    return line.change.key, line.change.version, step.name, step.service
