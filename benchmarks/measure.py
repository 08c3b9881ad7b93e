"""The arguments of every benchmark, the arithmetic, and how the outcome is shown."""

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Options:
    """`quick` is for a look whether it works: its figures are no figures."""

    quick: bool
    as_json: bool


def options(description: str | None) -> Options:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds: does it run at all")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object")
    given = parser.parse_args()
    return Options(given.quick, given.json)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * int(percent * 10) // 1000) - 1)]


def spread(values: Iterable[float], digits: int = 2) -> str:
    """`median (least to greatest)`."""
    of = list(values)
    return f"{statistics.median(of):.{digits}f} ({min(of):.{digits}f} to {max(of):.{digits}f})"


def cpu_s(pid: int) -> float:
    """CPU time, in seconds, that a process and its children have used so far."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def machine() -> dict[str, Any]:
    """Where this is measured; the load is what was going on before."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
    }


def show(options: Options, where: dict[str, Any], rows: Sequence[dict[str, Any]], conclusions: dict[str, str]) -> None:
    """A table with a column for each key of the rows, then what follows from it."""
    if options.as_json:
        json.dump({"quick": options.quick, "machine": where, "rows": rows, **conclusions}, sys.stdout, indent=2)
        print()
        return
    print(", ".join(f"{name} {value}" for name, value in where.items()))
    if options.quick:
        print("A quick run: these are no figures.")
    cells = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    for line in cells:
        print(
            "  ".join(
                cell.ljust(width) if not n else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
        )
    for name, value in conclusions.items():
        print(f"{name}: {value}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}" if abs(value) < 1 else f"{value:.2f}"
    return str(value)
