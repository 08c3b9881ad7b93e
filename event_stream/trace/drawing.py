"""The bars of a timeline: where each step begins and ends on a line from 0 to 100."""

from dataclasses import dataclass
from datetime import timedelta

from event_stream.trace.timeline import Line, Name, State, Step

_LEAST_WIDTH = 0.8
_WAITING_SHARE = 0.15
"""Of the line, for what has not happened yet."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A step with its place. `x` and `width` are in hundredths of the line, as text for an SVG; empty for no bar."""

    step: Step
    x: str = ""
    width: str = ""


def bars(line: Line) -> list[Bar]:
    """Return a bar for each step. The time from the eviction to the first lookup is nobody's work, and is cut out."""
    cut = timedelta()
    places: list[tuple[timedelta, timedelta] | None] = []
    start = last = line.change.requested_at or line.change.written_at
    for step in line.steps:
        if step.at is None:
            places.append(None)
            continue
        if step.name is Name.FILLED:
            cut += max(timedelta(), step.at - last)
            last = step.at
        begin, end = sorted((last, step.at))
        places.append((begin - start - cut, end - start - cut))
        last = max(last, step.at)
    waits = any(step.state is not State.DONE for step in line.steps)
    whole = max((end for place in places if place for end in place), default=timedelta())
    scale = (100 * (1 - _WAITING_SHARE) if waits else 100) / max(whole / timedelta(microseconds=1), 1)
    return [
        _bar(step, place, scale, waits_from=_on(whole, scale)) for step, place in zip(line.steps, places, strict=True)
    ]


def _bar(step: Step, place: tuple[timedelta, timedelta] | None, scale: float, *, waits_from: float) -> Bar:
    if place is None:
        if step.state is State.WAITING:
            return Bar(step, f"{waits_from:.2f}", f"{100 - waits_from:.2f}")
        return Bar(step)
    x = min(_on(place[0], scale), 100 - _LEAST_WIDTH)
    return Bar(step, f"{x:.2f}", f"{max(_on(place[1], scale) - x, _LEAST_WIDTH):.2f}")


def _on(since: timedelta, scale: float) -> float:
    return max(0.0, min(100.0, since / timedelta(microseconds=1) * scale))
