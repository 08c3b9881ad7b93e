"""A chart of the last hours, drawn as a small SVG by the server."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from django.utils import timezone

from event_stream.operations.series import Point, Series, points
from event_stream.operations.settings import operations_settings

SPAN = timedelta(hours=3)
WIDTH, HEIGHT = 240, 40
_MARGIN = 2
_GAP_INTERVALS = 2.5
"""Without a point for longer than this, nothing was recorded, and the line breaks."""


@dataclass(frozen=True, slots=True)
class Chart:
    """`lines` are the coordinates of polylines in a box of WIDTH and HEIGHT; a single point is a line of no length."""

    series: Series
    spacing: timedelta
    """How far apart points are; a counted series counts within it."""
    lines: Sequence[str]
    latest: float | None
    least: float | None
    greatest: float | None
    span: timedelta

    @property
    def hours(self) -> str:
        return f"{self.span.total_seconds() / 3600:g} h"


def chart(series: Series, span: timedelta = SPAN) -> Chart:
    until = timezone.now()
    return drawn(series, points(series, until - span, until), until, span)


def drawn(series: Series, every: Sequence[Point], until: datetime, span: timedelta) -> Chart:
    values = [point.value for point in every]
    greatest = max(values, default=None)
    top = greatest or 1.0
    since = until - span

    def at(point: Point) -> str:
        x = (point.at - since) / span * (WIDTH - 2 * _MARGIN) + _MARGIN
        y = HEIGHT - _MARGIN - max(0.0, point.value) / top * (HEIGHT - 2 * _MARGIN)
        return f"{x:.1f},{y:.1f}"

    spacing = _spacing(every)
    lines = [" ".join(map(at, run if len(run) > 1 else [*run, *run])) for run in _runs(every, spacing)]
    latest, least = (values[-1], min(values)) if values else (None, None)
    return Chart(series, spacing, lines, latest, least, greatest, span)


def _spacing(every: Sequence[Point]) -> timedelta:
    spacing = timedelta(seconds=operations_settings().sample_interval_s)
    if len(every) > 1:
        return max(spacing, min(later.at - earlier.at for earlier, later in pairwise(every)))
    return spacing


def _runs(every: Sequence[Point], spacing: timedelta) -> list[list[Point]]:
    """Points that follow one another without a gap."""
    runs: list[list[Point]] = []
    for point in every:
        if runs and point.at - runs[-1][-1].at <= spacing * _GAP_INTERVALS:
            runs[-1].append(point)
        else:
            runs.append([point])
    return runs
