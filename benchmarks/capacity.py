"""What many machines would need for 10,000 changes/s and 1,000,000 lookups/s, by arithmetic from the figures."""

import math
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.figures import Figure, Series, number

LOOKUPS_PER_S, CHANGES_PER_S = 1_000_000, 10_000
UTILIZATION = 0.6
"""How busy a core, or a process, is planned to be: what is left is for peaks, and for the loss of a machine."""


def capacity(figures: Iterable[Figure]) -> Sequence[Sequence[str]]:
    """Rows of a table, the first one its headings; only those whose figures are there."""
    series = {(figure.title, each.name): each for figure in figures for each in figure.series}
    rows = [["for", "measured", "one core or process gives", f"needed at {UTILIZATION:.0%} load"]]
    for what, target, unit, (title, name), column in (
        ("lookups: web", LOOKUPS_PER_S, "core", ("License lookup, cached", "ours"), "CPU ms"),
        ("lookups: Redis", LOOKUPS_PER_S, "primary", ("License lookup, cached", "ours"), "Valkey ms"),
        ("lookups: PostgreSQL", LOOKUPS_PER_S, "core", ("License lookup, cached", "ours"), "PostgreSQL ms"),
        ("changes: web and relay", CHANGES_PER_S, "core", ("Organization PUT", "ours, with its event"), "CPU ms"),
        ("changes: PostgreSQL", CHANGES_PER_S, "core", ("Organization PUT", "ours, with its event"), "PostgreSQL ms"),
    ):
        if found := series.get((title, name)):
            rows += _by_cpu(what, target, unit, found, column)
    rows += _by_rate("changes: relay", "relay", _first(series, "Relay with a backlog"))
    rows += _by_rate("changes: worker", "process", _first(series, "Worker with a backlog"))
    return rows if len(rows) > 1 else []


def _by_cpu(what: str, target: int, unit: str, series: Series, column: str) -> list[list[str]]:
    cpu_ms = series.columns.get(column, 0.0)
    # Below a tenth of a microsecond it is noise, not work.
    if cpu_ms < 0.0001:
        return []
    per_s = 1000 / cpu_ms
    return [[what, f"{number(cpu_ms)} ms of CPU", f"{number(per_s)}/s", _needed(target, per_s, unit)]]


def _by_rate(what: str, unit: str, series: Series | None) -> list[list[str]]:
    if series is None:
        return []
    rate = series.median
    return [[what, f"{number(rate)}/s with a backlog", f"{number(rate)}/s", _needed(CHANGES_PER_S, rate, unit)]]


def _needed(target: int, per_s: float, unit: str) -> str:
    amount = math.ceil(target / per_s / UTILIZATION)
    plural = {"primary": "primaries", "process": "processes"}.get(unit, f"{unit}s")
    return f"{amount:,} {unit if amount == 1 else plural}"


def _first(series: Mapping[tuple[str, str], Series], title: str) -> Series | None:
    return next((each for (of, _), each in series.items() if of.startswith(title)), None)
