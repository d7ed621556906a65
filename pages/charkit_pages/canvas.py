"""The canvas of the charts: a matplotlib figure with few and quiet lines, in the page's colors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from charkit_pages import formatting
from charkit_pages.label_placement import Box, Line, place_label
from charkit_pages.palette import GRID, PAPER, QUIET, TEXT, SeriesStyle
from charkit_pages.series import Series, label_with_note
from charkit_pages.svg import drawing, inline, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import Locator

_SIZE = 12.5  # of letters, in points
#: The height of a label and the width of a letter, in sizes. A wide typeface's: the reader's own is unknown.
_LABEL_HEIGHT, _LETTER_WIDTH = 1.25, 0.6
#: Width and height of the picture, and the room left, right, below and above of the axes, in points.
_WIDE = (880, 330, 52, 14, 38, 30)
_NARROW = (380, 290, 46, 8, 38, 30)
#: Width of a line that takes turns, and the length of a turn.
_THICK, _STRETCH = 3.0, 24.0
_BAR_WIDTH, _BAR_PITCH = 420, 48
#: How opaque the area of a band is.
BAND_OPACITY = 0.17


@dataclass(frozen=True)
class PlottedLine:
    """One line. ``turn``: its index among lines that may coincide, and how many they are.

    Those are drawn thin, with thick dashes in turns, so that their colors alternate where they coincide.
    """

    style: SeriesStyle
    along: ArrayLike
    values: ArrayLike
    turn: tuple[int, int] = (0, 1)
    markers: bool = False


@dataclass(frozen=True)
class Row:
    """One bar: its length, that length as text, and the dots."""

    series: Series
    length: float
    value_text: str
    dots: tuple[float, ...]


@dataclass(frozen=True)
class _Label:
    """The name of a line, or of the area below it, written where there is room."""

    text: str
    near: Line  # in the axes' own numbers
    color: str
    below: bool


class Canvas:
    """Axes to draw on, written as SVG at the end."""

    def __init__(self, figure: Figure, axes: Axes, buckets: int) -> None:
        self.figure, self.axes, self.buckets = figure, axes, buckets
        self._lines: list[Line] = []  # in the axes' own numbers
        self._labels: list[_Label] = []

    def limits(self, along: tuple[float, float], values: tuple[float, float]) -> None:
        """The ends of both axes; a single step gets some room."""
        first, last = along
        room = 0.5 if last <= first else 0.0
        self.axes.set_xlim(first - room, last + room)
        self.axes.set_ylim(*values)

    def logarithmic(self, low: int, high: int) -> None:
        """Makes the vertical axis logarithmic, with labels at about six powers of ten."""
        self.axes.set_yscale("log")
        every = max(1, -(-(high - low) // 6))
        labeled = range(high - (high - low) // every * every, high + 1, every)
        self.axes.set_yticks(
            [10.0**power for power in labeled], [formatting.power_of_ten(power) for power in labeled]
        )
        self.axes.yaxis.set_minor_locator(_no_ticks())
        self.axes.set_ylim(10.0**low, 10.0**high)

    def line(self, line: PlottedLine) -> None:
        """A line, with markers where asked or where it is a single point."""
        index, count = line.turn
        along, values = np.asarray(line.along, np.float64), np.asarray(line.values, np.float64)
        bottom, top = self.axes.get_ylim()
        values = np.clip(values, bottom, top + 9 * (top - bottom))  # what is far out would overflow
        self._lines.append(np.column_stack([along, values]))
        color, dashes = line.style.color, line.style.dashes
        thin: dict[str, Any] = {"dashes": dashes} if dashes else {}
        self.axes.plot(along, values, color=color, linewidth=1.8 if count == 1 else 1.4, zorder=3, **thin)
        if count > 1:
            self.axes.plot(along, values, color=color, linewidth=_THICK, linestyle=_turns(line), zorder=4)
        if line.markers or len(values) < 2:
            size = 7.5 + min(3.0 * (count - 1), 9.0) * (count - 1 - index) / max(1, count - 1)
            drawn: dict[str, Any] = {
                "marker": [*line.style.marker],
                "markersize": size,
                **_fill(line.style),
            }
            self.axes.plot(along, values, color=color, linestyle="none", zorder=5, **drawn)

    def point(self, style: SeriesStyle, along: float, value: float) -> None:
        """A series' marker at one point of its line."""
        self.axes.plot(
            [along],
            [value],
            marker=[*style.marker],
            markersize=8,
            zorder=5,
            linestyle="none",
            color=style.color,
            clip_on=False,
            **_fill(style),
        )

    def rule(
        self, along: ArrayLike, values: ArrayLike, text: str, color: str, dashes: tuple[int, int]
    ) -> None:
        """A dashed line that is no series', and its name."""
        line = self._within(along, values)
        self.axes.plot(*line.T, color=color, linewidth=1.4, dashes=dashes, zorder=2.5)
        self._lines.append(line)
        self._labels.append(_Label(text, line, color, below=False))

    def band(self, along: ArrayLike, edge: ArrayLike, text: str) -> None:
        """The area below an edge, and its name."""
        line = self._within(along, edge)
        bottom = self.axes.get_ylim()[0]
        x, y = line.T
        self.axes.fill_between(x, bottom, y, facecolor=QUIET, alpha=BAND_OPACITY, linewidth=0, zorder=1)
        self.axes.plot(*line.T, color=QUIET, linewidth=1.2, zorder=1.5)
        self._lines.append(line)
        self._labels.append(_Label(text, line, TEXT, below=True))

    def _within(self, along: ArrayLike, values: ArrayLike) -> Line:
        """The points of a line, those above the picture at its upper end. A single point gets some width."""
        x, y = np.asarray(along, np.float64), np.asarray(values, np.float64)
        if len(x) == 1:
            x, y = np.array(self.axes.get_xlim()), np.repeat(y, 2)
        return np.column_stack([x, np.minimum(y, self.axes.get_ylim()[1])])

    def _write_labels(self) -> None:
        """Writes each label where no line passes through it; one for which there is no room is left out."""
        lines = [self.axes.transData.transform(line) for line in self._lines]
        extent = self.axes.get_window_extent()
        within = Box(extent.x0, extent.y0, extent.x1, extent.y1)
        taken: list[Box] = []
        for label in self._labels:
            near = self.axes.transData.transform(label.near)
            size = (_LETTER_WIDTH * _SIZE * len(label.text), _LABEL_HEIGHT * _SIZE)
            box = place_label(size, near, within, lines, taken, below=label.below)
            if box is None:
                continue
            taken.append(box)
            x, y = self.axes.transAxes.inverted().transform((box.right, (box.bottom + box.top) / 2))
            self.axes.text(
                x,
                y,
                label.text,
                transform=self.axes.transAxes,
                ha="right",
                va="center",
                color=label.color,
                size=_SIZE,
                zorder=6,
            )

    def stroke(self, style: SeriesStyle, along: float) -> None:
        """A short upright stroke on the horizontal axis."""
        self.axes.axvline(along, 0, 0.06, color=style.color, linewidth=3, zorder=4)

    def svg(self, name: str, title: str, description: str, kind: str = "") -> str:
        """The picture for the page, with numbers of equal length along each axis."""
        self._write_labels()
        for axis in (self.axes.xaxis, self.axes.yaxis):
            if axis.get_scale() == "linear":
                low, high = sorted(axis.get_view_interval())
                ticks = [float(tick) for tick in axis.get_ticklocs() if low <= tick <= high]
                axis.set_ticks(ticks, _tick_labels(ticks))
        return inline(self.figure, name, title, description, kind)


@contextmanager
def line_canvas(narrow: bool, x: str, y: str) -> Iterator[Canvas]:
    """Axes for lines, with the units at their ends."""
    width, height, left, right, below, above = _NARROW if narrow else _WIDE
    with drawing():
        figure = new_figure(width, height)
        inner = (width - left - right, height - below - above)
        axes = figure.add_axes((left / width, below / height, inner[0] / width, inner[1] / height))
        _remove_frame(axes)
        axes.grid(axis="y", color=GRID, linewidth=1, zorder=0)
        axes.locator_params(axis="x", nbins=5 if narrow else 9, integer=x == "step")
        axes.locator_params(axis="y", nbins=6)
        figure.text(4 / width, 1 - 14 / height, y, color=QUIET, size=_SIZE)
        figure.text(1 - right / width, 4 / height, x, color=QUIET, size=_SIZE, ha="right")
        yield Canvas(figure, axes, int(inner[0]) // 2)


@contextmanager
def bar_canvas(rows: Sequence[Row], unit: str) -> Iterator[Canvas]:
    """Bars one below the other, each under its name and its value."""
    width, below = _BAR_WIDTH, 40
    height = len(rows) * _BAR_PITCH + below
    right = 8 / width
    with drawing():
        figure = new_figure(width, height)
        axes = figure.add_axes((0.005, below / height, 1 - right, 1 - below / height))
        _remove_frame(axes)
        axes.set_xlim(0, max(max(row.length, *row.dots, 0) for row in rows) * 1.03 or 1.0)
        axes.set_ylim(len(rows), 0)
        axes.set_yticks([])
        axes.locator_params(axis="x", nbins=4)
        for index, row in enumerate(rows):
            _bar(axes, index, row)
        figure.text(1 - right, 4 / height, unit, color=QUIET, size=_SIZE, ha="right")
        yield Canvas(figure, axes, 0)


def _bar(axes: Axes, index: int, row: Row) -> None:
    style, middle = row.series.style, index + 0.68
    axes.barh(middle, row.length, height=0.3, color=style.color, alpha=0.4 if row.dots else 0.75, zorder=2)
    axes.plot(
        row.dots,
        [middle] * len(row.dots),
        linestyle="none",
        marker="o",
        markersize=7,
        color=style.color,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        zorder=3,
        clip_on=False,
    )
    end = axes.get_xlim()[1]
    label = formatting.shortened(label_with_note(row.series), 46 - len(row.value_text))
    axes.text(0, index + 0.38, label, color=TEXT, size=_SIZE)
    axes.text(end, index + 0.38, row.value_text, color=TEXT, size=_SIZE, ha="right")


def _turns(line: PlottedLine) -> tuple[float, tuple[float, ...]]:
    """When a line is thick: a stretch for each line in turn; dashed lines are dashed within theirs."""
    index, count = line.turn
    parts = (5.0, 4.5, 5.0, 4.5, 5.0) if line.style.dashes else (_STRETCH,)
    pattern = (*parts, _STRETCH * (count - 1))
    return _STRETCH * (count - index) / _THICK, tuple(length / _THICK for length in pattern)


def _fill(style: SeriesStyle) -> dict[str, Any]:
    """A marker's inside and edge: full for the first eight series, hollow for the next."""
    if style.hollow:
        return {"markerfacecolor": PAPER, "markeredgecolor": style.color, "markeredgewidth": 1.4}
    return {"markeredgecolor": PAPER, "markeredgewidth": 0.8}


def _remove_frame(axes: Axes) -> None:
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(axis="both", length=0, pad=6, labelcolor=QUIET, labelsize=_SIZE)
    axes.tick_params(axis="x", length=4, color=QUIET)


def _tick_labels(ticks: Sequence[float]) -> list[str]:
    """Numbers on an axis: thousands by comma, and as many decimals for all as one of them needs."""
    if any(tick and not 1e-4 <= abs(tick) < 1e9 for tick in ticks):
        return [f"{tick:.3g}" for tick in ticks]
    decimals = max((len(f"{tick:.6f}".rstrip("0").partition(".")[2]) for tick in ticks), default=0)
    return [f"{tick:,.{decimals}f}" for tick in ticks]


def _no_ticks() -> Locator:
    from matplotlib.ticker import NullLocator

    return NullLocator()
