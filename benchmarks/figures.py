"""What a part of the benchmarks finds out, as values that are kept as JSON."""

import dataclasses
import operator
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True, slots=True)
class Series:
    """One contestant: a sample a round, and what else is known of it by column, such as `p99 ms`."""

    name: str
    samples: Sequence[float]
    columns: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A comparison, a sample a pair, and what it should reach, such as `>= 2.5`; empty where nothing is asked for.

    `series` are the names of the two that it compares, where it is one of their rates or times.
    """

    name: str
    samples: Sequence[float]
    reach: str = ""
    series: Sequence[str] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def is_reached(self) -> bool | None:
        """None where nothing is asked for."""
        if not self.reach:
            return None
        comparison, limit = self.reach.split()
        return _COMPARISONS[comparison](self.median, float(limit))


@dataclass(frozen=True, slots=True)
class Figure:
    """One table: `series` in `unit`, ours first; what follows from it; and what the reader has to know."""

    title: str
    unit: str
    series: Sequence[Series]
    ratios: Sequence[Ratio] = ()
    notes: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Figure":
        return cls(
            title=values["title"],
            unit=values["unit"],
            series=[Series(**series) for series in values["series"]],
            ratios=[Ratio(**ratio) for ratio in values["ratios"]],
            notes=list(values["notes"]),
        )


def paired(name: str, ours: Series, other: Series, reach: str = "") -> Ratio:
    """`ours` divided by `other`, round by round."""
    samples = [a / b for a, b in zip(ours.samples, other.samples, strict=True)]
    return Ratio(name, samples, reach, [ours.name, other.name])


def of_medians(name: str, ours: Series, other: Series, reach: str = "") -> Ratio:
    """The same where the two had not as many rounds: of their medians."""
    return Ratio(name, [ours.median / other.median], reach, [ours.name, other.name])


def number(value: float) -> str:
    """A figure for the reader, with about three digits."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"


def spread(values: Sequence[float]) -> str:
    """`median (least to most)`; of one value, the value."""
    if len(values) == 1:
        return number(values[0])
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"
