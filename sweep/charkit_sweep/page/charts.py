"""The charts of a sweep: curves of all trials, the loss against each axis, and parallel coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from charkit_pages import formatting
from charkit_pages.palette import BOUND, GRID, PAPER, QUIET, TEXT, SeriesStyle
from charkit_pages.svg import drawing, inline, new_figure
from charkit_sweep.page.view import AxisView, SweepView, loss_window
from charkit_sweep.result import SweepTrial

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 12.5  # of letters, in points
_WIDE, _NARROW = (880, 360), (380, 300)
_SMALL = (420, 300)
_PARALLEL_HEIGHT = 360
#: Of the lines of trials that have no color of their own.
_FAINT = 0.35
#: A chart has a line for each of the best trials, and no more than a browser draws at once.
_MOST_LINES = 400


@dataclass(frozen=True)
class Chart:
    """A chart as ``<svg>`` elements: one for wide screens and one for narrow ones, or one for both."""

    title: str
    svgs: tuple[str, ...]
    note: str = ""


def curves(view: SweepView) -> Chart | None:
    """The validation loss of every trial over its steps; the best ones in colors."""
    place = {trial.number: index for index, trial in enumerate(view.result.ranked)}
    shown = sorted(view.curves, key=lambda curve: place[curve.trial.number])[:_MOST_LINES]
    if not shown:
        return None
    low, high = loss_window([loss for curve in shown for loss in curve.losses])
    end = max(curve.steps[-1] for curve in shown)

    def draw(axes: Axes) -> None:
        axes.set_xlim(0, end * 1.02)
        axes.set_ylim(low, high)
        for rung in view.spec.rungs:
            axes.axvline(rung, color=QUIET, linewidth=1, dashes=(3, 3), zorder=1)
        for curve in sorted(shown, key=lambda one: one.style is not None):
            color = QUIET if curve.style is None else curve.style.color
            alpha, width = (_FAINT, 1.0) if curve.style is None else (1.0, 1.8)
            axes.plot(curve.steps, curve.losses, color=color, alpha=alpha, linewidth=width, zorder=2)
            _mark(axes, curve.steps[-1], curve.losses[-1], curve.style, alpha)

    best = view.result.best
    description = f"{formatting.counted(len(shown), 'trial')}" + (
        "" if best is None else f"; the lowest loss is {formatting.loss(best.loss)} (trial {best.number})"
    )
    svgs = []
    for kind, size in (("wide", _WIDE), ("narrow", _NARROW)):
        with _axes(size, "step", "nats per symbol") as (figure, axes):
            draw(axes)
            svgs.append(inline(figure, f"curves-{kind}", "Validation loss", description, kind))
    rungs = "Dashed lines are rungs. " if view.spec.rungs else ""
    if len(view.curves) > len(shown):
        rungs += f"Only the {_MOST_LINES} best trials are drawn. "
    return Chart("Validation loss", tuple(svgs), f"{rungs}The best trials are in color, the others in gray.")


def against_axes(view: SweepView) -> list[Chart]:
    """The loss of every trial against its value of each axis."""
    known = [trial for trial in view.result.trials if trial.loss is not None]
    return [_against(view, axis, index, known) for index, axis in enumerate(view.axes)] if known else []


def _against(view: SweepView, axis: AxisView, index: int, known: list[SweepTrial]) -> Chart:
    low, high = loss_window([trial.loss for trial in known if trial.loss is not None])
    failed = [trial for trial in view.result.trials if trial.loss is None]
    with _axes(_SMALL, axis.name, "nats per symbol") as (figure, axes):
        places = [*axis.positions.values(), *axis.ticks]
        room = (max(places) - min(places)) * 0.06 or 0.5
        axes.set_xlim(min(places) - room, max(places) + room)
        axes.set_ylim(low, high)
        axes.set_xticks(axis.ticks, axis.labels)
        for trial in sorted(known, key=lambda one: one.number in view.colored):
            style = view.colored.get(trial.number)
            height = min(trial.loss or 0.0, high)
            alpha = 1.0 if style is not None or trial.status == "finished" else 0.55
            _mark(axes, axis.positions[trial.number], height, style, alpha)
        for trial in failed:
            axes.plot(
                [axis.positions[trial.number]], [high], marker="x", color=BOUND, markersize=7, clip_on=False
            )
        title = f"Loss against {axis.name}"
        description = f"{title}: {formatting.counted(len(known), 'trial')}"
        return Chart(title, (inline(figure, f"axis-{index}", title, description),))


def parallel_coordinates(view: SweepView) -> Chart | None:
    """A line for each trial through its values of all axes, to its loss; the best ones in colors."""
    known = [trial for trial in view.result.ranked[:_MOST_LINES] if trial.loss is not None]
    known.reverse()  # the best are drawn last, on top
    if not known:
        return None
    low, high = loss_window([trial.loss for trial in known if trial.loss is not None])
    loss = AxisView(
        "loss",
        "loss",
        {trial.number: min(trial.loss or 0.0, high) for trial in known},
        (low, high),
        (f"{low:.3f}", f"{high:.3f}"),
        False,
    )
    columns = (*view.axes, loss)
    with drawing():
        width = max(_WIDE[0], 150 * len(columns))
        figure = new_figure(width, _PARALLEL_HEIGHT)
        axes = figure.add_axes((0.06, 0.06, 0.86, 0.82))
        axes.set_axis_off()
        axes.set_xlim(0, len(columns) - 1)
        axes.set_ylim(0, 1)
        scales = [_scale(column) for column in columns]
        for index, (column, scale) in enumerate(zip(columns, scales, strict=True)):
            _upright(axes, index, column, scale)
        for trial in known:
            style = view.colored.get(trial.number)
            line = [
                scale(column.positions[trial.number]) for column, scale in zip(columns, scales, strict=True)
            ]
            axes.plot(
                range(len(line)),
                line,
                color=QUIET if style is None else style.color,
                alpha=_FAINT if style is None else 1.0,
                linewidth=1.0 if style is None else 2.0,
                zorder=3 if style is not None else 2,
                clip_on=False,
            )
        title = "Parallel coordinates"
        names = ", ".join(column.name for column in columns)
        svg = inline(
            figure, "parallel", title, f"{formatting.counted(len(known), 'trial')} across the axes {names}"
        )
    return Chart(title, (svg,), "Each line is a trial. The best ones are in color; the loss is on the right.")


def _scale(column: AxisView) -> Callable[[float], float]:
    places = [*column.positions.values(), *column.ticks]
    low, high = min(places), max(places)
    return lambda value: 0.5 if high == low else (value - low) / (high - low)


def _upright(axes: Axes, index: int, column: AxisView, scale: Callable[[float], float]) -> None:
    """One of the upright axes, with its name above and its ticks beside it."""
    axes.plot([index, index], [0, 1], color=GRID, linewidth=2, zorder=1, clip_on=False)
    axes.text(index, 1.07, column.name, color=TEXT, size=_SIZE, ha="center", va="bottom")
    for tick, label in zip(column.ticks, column.labels, strict=True):
        around = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.0}  # lines pass behind it
        axes.text(
            index + 0.02, scale(tick), label, color=TEXT, size=_SIZE - 1, va="center", zorder=5, bbox=around
        )


def _mark(axes: Axes, along: float, height: float, style: SeriesStyle | None, alpha: float) -> None:
    marker: Any = "o" if style is None else [*style.marker]
    axes.plot(
        [along],
        [height],
        marker=marker,
        color=QUIET if style is None else style.color,
        alpha=alpha,
        markersize=6 if style is None else 10,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        linestyle="none",
        zorder=4 if style is not None else 3,
        clip_on=False,
    )


@contextmanager
def _axes(size: tuple[int, int], x: str, y: str) -> Iterator[tuple[Figure, Axes]]:
    """Axes with few and quiet lines, and the units at their ends."""
    width, height = size
    with drawing():
        figure = new_figure(width, height)
        axes = figure.add_axes((52 / width, 40 / height, 1 - 70 / width, 1 - 72 / height))
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(QUIET)
        axes.tick_params(axis="both", length=0, pad=6, labelcolor=QUIET, labelsize=_SIZE)
        axes.grid(axis="y", color=GRID, linewidth=1, zorder=0)
        axes.locator_params(axis="both", nbins=6)
        figure.text(4 / width, 1 - 14 / height, y, color=QUIET, size=_SIZE)
        figure.text(1 - 18 / width, 2 / height, x, color=QUIET, size=_SIZE, ha="right")
        yield figure, axes
