"""The figures as one picture: plain SVG, a bar for each contestant, with the least and the most of its rounds."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.figures import Figure, Series, number

_WIDTH, _LABEL, _VALUE = 860, 250, 130
_BAR, _GAP, _TITLE, _MARGIN = 18, 6, 34, 16
_STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #1d2129 }
    .title { font-weight: 600; font-size: 14px }
    .back { fill: #ffffff } .ours { fill: #0b57a4 } .other { fill: #9aa5b1 } .range { stroke: #1d2129 }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6e9ee } .back { fill: #14171c } .ours { fill: #6aaeff } .other { fill: #5c6773 }
      .range { stroke: #e6e9ee }
    }
"""


def bar_chart(figures: Sequence[Figure]) -> str:
    """An SVG document. Each figure has a scale of its own, which begins at zero."""
    body, top = [], _MARGIN
    for figure in figures:
        body.append(_text(_MARGIN, top + 16, f"{figure.title} ({figure.unit})", "title"))
        top += _TITLE - 8
        most = max(max(series.samples) for series in figure.series) or 1.0
        for place, series in enumerate(figure.series):
            body += _bar(series, top, most, "other" if place else "ours")
            top += _BAR + _GAP
        top += _GAP * 2
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top}" width="{_WIDTH}" height="{top}" '
        f'role="img" aria-label="Medians of all rounds, with their least and most">'
    )
    return "\n".join(
        [head, f"<style>{_STYLE}</style>", f'<rect class="back" width="{_WIDTH}" height="{top}"/>', *body, "</svg>", ""]
    )


def _bar(series: Series, top: int, most: float, kind: str) -> list[str]:
    left, scale = _LABEL + _MARGIN, (_WIDTH - _LABEL - _VALUE - 2 * _MARGIN) / most
    middle = top + _BAR / 2
    low, high = left + min(series.samples) * scale, left + max(series.samples) * scale
    return [
        f'<text x="{left - 8}" y="{top + 14}" text-anchor="end">{escape(series.name)}</text>',
        f'<rect class="{kind}" x="{left}" y="{top}" width="{max(1.0, series.median * scale):.1f}" height="{_BAR}"/>',
        f'<line class="range" x1="{low:.1f}" y1="{middle}" x2="{high:.1f}" y2="{middle}"/>',
        _text(round(high) + 8, top + 14, number(series.median)),
    ]


def _text(x: int, y: int, text: str, kind: str = "") -> str:
    of_kind = f' class="{kind}"' if kind else ""
    return f'<text{of_kind} x="{x}" y="{y}">{escape(text)}</text>'
