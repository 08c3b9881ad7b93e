"""The figures for people: tables of text, the page docs/performance.md, its picture, and the lines of the README."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bar_chart import bar_chart
from benchmarks.capacity import capacity
from benchmarks.figures import Figure, Ratio, number, spread
from devstack.environment import ROOT

Table = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a part. `failure` is a sentence; then there are no figures."""

    part: str
    machine: Mapping[str, Any]
    took_s: float
    figures: Sequence[Figure] = ()
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "machine": dict(self.machine),
            "took_s": round(self.took_s, 1),
            "failure": self.failure,
            "figures": [figure.as_dict() for figure in self.figures],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Result":
        figures = [Figure.from_dict(figure) for figure in values["figures"]]
        return cls(values["part"], values["machine"], values["took_s"], figures, values["failure"])


@dataclass(frozen=True, slots=True)
class Pages:
    """The files below `folder` that are written: the figures, the page with its picture, and the README beside them."""

    folder: Path

    @property
    def _figures(self) -> Path:
        return self.folder / "performance.json"

    def read(self) -> list[Result]:
        if not self._figures.exists():
            return []
        return [Result.from_dict(values) for values in json.loads(self._figures.read_text())]

    def write(self, results: Sequence[Result]) -> None:
        """Keep the figures, and write those pages again that show them."""
        (self.folder / "pictures").mkdir(parents=True, exist_ok=True)
        values = [result.as_dict() for result in results]
        self._figures.write_text(json.dumps(values, indent=1) + "\n")
        (self.folder / "pictures" / "performance.svg").write_text(bar_chart(_figures(results)))
        page = self.folder / "performance.md"
        picture = "![Medians of every series, with the least and the most of their rounds](pictures/performance.svg)"
        _replace(page, "summary", f"{summary(results)}\n\n{picture}")
        _replace(page, "figures", details(results))
        _replace(page, "capacity", _markdown(capacity(_figures(results))))
        readme = self.folder.parent / "README.md"
        if self.folder == ROOT / "docs":
            _replace(readme, "summary", short(results))


def summary(results: Iterable[Result]) -> str:
    """Every comparison in one table."""
    rows = [["figure", "ours", "beside", "ratio, median (least to most)", "reach", ""]]
    for figure in _figures(results):
        series = {each.name: each for each in figure.series}
        for ratio in figure.ratios:
            cells = ["", ratio.name]
            if ratio.series:
                ours, beside = (series[name] for name in ratio.series)
                cells = [f"{number(ours.median)} {figure.unit}", f"{beside.name}: {number(beside.median)}"]
            rows.append([figure.title, *cells, spread(ratio.samples), _sign(ratio.reach), _verdict(ratio)])
    return _markdown(rows)


def short(results: Iterable[Result]) -> str:
    """The comparisons for the README: those of ours with something else."""
    rows = [["figure", "ours", "beside", "ratio"]]
    for figure in _figures(results):
        series = {each.name: each for each in figure.series}
        for ratio in figure.ratios:
            if ratio.series and ratio.reach:
                ours, beside = (series[name] for name in ratio.series)
                cells = [f"{number(ours.median)} {figure.unit}", f"{beside.name}: {number(beside.median)}"]
                rows.append([figure.title, *cells, number(ratio.median)])
    return _markdown(rows)


def details(results: Sequence[Result]) -> str:
    """A table for each figure, and what the reader has to know about it."""
    lines: list[str] = []
    for result in results:
        for figure in result.figures:
            lines += [f"### {figure.title}", "", f"`benchmarks/run {result.part}`: {_where(result.machine)}", ""]
            lines += [_markdown(table(figure)), ""]
            lines += [f"- {ratio.name}: {spread(ratio.samples)}{_asked(ratio)}" for ratio in figure.ratios]
            lines += [f"- {note}" for note in figure.notes]
            lines.append("")
        if result.failure:
            lines += [f"### {result.part}", "", f"Not measured: {result.failure}", ""]
    return "\n".join(lines).strip()


def table(figure: Figure) -> Table:
    """The series of a figure, a row each, below a row of headings."""
    columns = list(dict.fromkeys(column for series in figure.series for column in series.columns))
    rows = [["", figure.unit, "least", "most", *columns]]
    for series in figure.series:
        cells = [number(value) for value in (series.median, min(series.samples), max(series.samples))]
        more = [number(series.columns[column]) if column in series.columns else "" for column in columns]
        rows.append([series.name, *cells, *more])
    return rows


def plain_text(figure: Figure) -> str:
    """The same for a terminal."""
    rows = table(figure)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [figure.title]
    for row in rows:
        cells = [
            cell.rjust(width) if n else cell.ljust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    lines += [f"  {ratio.name}: {spread(ratio.samples)}{_asked(ratio)}" for ratio in figure.ratios]
    lines += [f"  ({note})" for note in figure.notes]
    return "\n".join(lines)


def _figures(results: Iterable[Result]) -> list[Figure]:
    return [figure for result in results for figure in result.figures]


def _sign(reach: str) -> str:
    return reach.replace(">=", "≥").replace("<=", "≤")


def _verdict(ratio: Ratio) -> str:
    return {True: "reached", False: "missed", None: ""}[ratio.is_reached]


def _asked(ratio: Ratio) -> str:
    return f", to reach {_sign(ratio.reach)}: {_verdict(ratio)}" if ratio.reach else ""


def _where(machine: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in machine.items())


def _markdown(rows: Table) -> str:
    if not rows:
        return ""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    rule = "|" + "|".join("---" if not n else "---:" for n in range(len(rows[0]))) + "|"
    return "\n".join([head, rule, *body])


def _replace(page: Path, name: str, text: str) -> None:
    """Put the text between the comments of that name; a page without them gets them at its end."""
    begin, end = f"<!-- {name}: written by benchmarks/run -->", f"<!-- end of {name} -->"
    block = f"{begin}\n\n{text}\n\n{end}"
    before = page.read_text() if page.exists() else ""
    found = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if found.search(before):
        page.write_text(found.sub(lambda _match: block, before))
    else:
        page.write_text(f"{before}\n{block}\n".lstrip("\n"))
