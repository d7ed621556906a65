"""Charts as SVG elements: lines in a wide and a narrow picture, and bars."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charkit_pages.canvas import Canvas, Row, bar_canvas, line_canvas
from charkit_pages.downsampling import Floats
from charkit_pages.series import Series

#: Below a chart whose lines are drawn in turns.
COINCIDENCE_NOTICE = "Where lines coincide, their colors alternate."


@dataclass(frozen=True)
class LegendEntry:
    """A legend entry for what is drawn besides the lines of the series."""

    kind: Literal["band", "limit", "bound"]
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart as ``<svg>`` elements: the wide one, and the one for a phone unless one serves both."""

    title: str
    svgs: tuple[str, ...]
    series: tuple[Series, ...]  # for the legend
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # one beside each series in the legend, or none at all
    keys: tuple[LegendEntry, ...] = ()


def responsive_chart(
    name: str,
    title: str,
    description: str,
    draw: Callable[[Canvas], None],
    series: Sequence[Series],
    notes: Sequence[str],
    *,
    x: str,
    y: str,
) -> Chart:
    """A chart with a wide picture and a narrow one."""
    svgs = []
    for kind in ("wide", "narrow"):
        with line_canvas(kind == "narrow", x, y) as canvas:
            draw(canvas)
            svgs.append(
                canvas.svg(f"chart-{name}-{kind}", title, f"{title}, {y}, by {x}: {description}", kind)
            )
    return Chart(title, tuple(svgs), tuple(series), tuple(notes))


def bar_chart(rows: Sequence[Row], name: str, title: str, unit: str) -> Chart | None:
    """A bar for each row; None without rows."""
    if not rows:
        return None
    description = "; ".join(f"{row.series.label} {row.value_text}" for row in rows)
    with bar_canvas(rows, unit) as canvas:
        svg = canvas.svg(f"chart-{name}", title, f"{title}, {unit}: {description}")
    return Chart(title, (svg,), ())


def out_of_range_notices(series: Sequence[Series]) -> list[str]:
    """Names the series whose lines leave the picture: too large, or not a number."""
    return [f"{one.label} runs off the chart." for one in series]


def value_window(lines: Sequence[Floats]) -> tuple[float, float, list[int]]:
    """The range of the axis for these lines, each (points,), and the indices of the lines that leave it.

    A line that rises to more than five times the others' height would flatten them all, so it runs off the chart.
    """
    tops, bottoms = [], []
    for line in lines:
        finite = line[np.isfinite(line)]
        tops.append(float(line.max()) if len(finite) == len(line) else np.inf)
        bottoms.append(float(finite.min()) if len(finite) else np.inf)
    limit = 5 * max(min(tops), 1e-12)
    kept = [top for top in tops if top <= limit]
    high = max(kept) if kept and np.isfinite(min(tops)) else 1.0
    low = min([bottom for bottom in bottoms if -limit <= bottom <= high], default=0.0)
    margin = (high - low) * 0.05 or max(abs(high) * 0.05, 1e-3)
    return low - margin, high + margin, [index for index, top in enumerate(tops) if top > limit]
