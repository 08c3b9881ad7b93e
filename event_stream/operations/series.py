"""The small time series behind the charts: one row a series, process and interval, kept for the retention."""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db.models import Aggregate, Max, Sum

from event_stream.operations.models import Sample


class Combine(enum.Enum):
    """How the values of several processes, or of several intervals, become one."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Series:
    """`unit` follows the number; `counted` says that a value is a count of its interval, and no state at its end."""

    name: str
    title: str
    unit: str = ""
    combine: Combine = Combine.SUM
    counted: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    at: datetime
    value: float


def bucket(moment: datetime, interval_s: float) -> datetime:
    """The multiple of the interval (since the Unix epoch) at or before the moment."""
    seconds = moment.timestamp() // interval_s * interval_s
    return datetime.fromtimestamp(seconds, UTC)


def record(source: UUID, at: datetime, values: Mapping[str, float]) -> None:
    """Write the values of one process for one interval; those that are there already stay."""
    rows = [Sample(series=series, source=source, at=at, value=value) for series, value in values.items()]
    Sample.objects.bulk_create(rows, ignore_conflicts=True)


def points(series: Series, since: datetime, until: datetime, *, most: int = 180) -> list[Point]:
    """The points of a chart, the oldest first: at most `most`, so that neighbours are combined where there are more."""
    rows = (
        Sample.objects.filter(series=series.name, at__gte=since, at__lte=until)
        .order_by("at")
        .values("at")
        .annotate(combined=_over_processes(series))
        .values_list("at", "combined")
    )
    return thinned([Point(at, value) for at, value in rows], most, series)


def total(name: str, since: datetime) -> float:
    """The sum of a counted series over all processes."""
    return Sample.objects.filter(series=name, at__gte=since).aggregate(sum=Sum("value"))["sum"] or 0.0


def purge(older_than: timedelta, now: datetime, batch_size: int) -> int:
    """Delete one batch of old samples; return how many."""
    old = Sample.objects.filter(at__lt=now - older_than).order_by("at").values("pk")[:batch_size]
    count, _ = Sample.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
    return count


def _over_processes(series: Series) -> Aggregate:
    return Max("value") if series.combine is Combine.MAX else Sum("value")


def thinned(every: Sequence[Point], most: int, series: Series) -> list[Point]:
    """Combine neighbours until there are at most `most`."""
    size = -(-len(every) // most) or 1
    groups = [every[first : first + size] for first in range(0, len(every), size)]
    return [Point(group[-1].at, _over_time([point.value for point in group], series)) for group in groups]


def _over_time(values: Sequence[float], series: Series) -> float:
    if series.combine is Combine.MAX:
        return max(values)
    return sum(values) if series.counted else sum(values) / len(values)
