"""The report's charts: lines over steps or seconds, and bars with a dot for each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from charkit_comparison import formatting
from charkit_comparison.page.canvas import Canvas, Row, Series, bar_canvas, line_canvas
from charkit_comparison.page.downsampling import bucket_extremes
from charkit_comparison.page.variant_view import VariantView
from charkit_comparison.page.view import Floats, ReportView
from charkit_comparison.speeds import VariantSpeed


@dataclass(frozen=True)
class LegendEntry:
    """A legend entry for what is drawn besides the variants' lines."""

    kind: Literal["band", "limit", "bound"]
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart as ``<svg>`` elements: the wide one, and the one for a phone unless one serves both."""

    title: str
    svgs: tuple[str, ...]
    variants: tuple[VariantView, ...]  # for the legend
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()  # one beside each variant in the legend, or none at all
    keys: tuple[LegendEntry, ...] = ()


def losses(view: ReportView) -> Chart | None:
    """The training loss of all variants in one picture."""
    shown = [one for one in view.variants if one.outcome.losses]
    if not shown:
        return None
    first = view.report.first_step
    lines = [np.asarray(one.outcome.losses, np.float64) for one in shown]
    low, high, leaving = _window(lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((first, first + max(map(len, lines)) - 1), (low, high))
        for one, line in zip(shown, lines, strict=True):
            chosen = bucket_extremes(line, canvas.buckets)
            canvas.line(Series(one.style, first + chosen, line[chosen], turn=(shown.index(one), len(shown))))

    description = "; ".join(
        f"{one.label} from {formatting.loss(line[0])} to {formatting.loss(line[-1])}"
        for one, line in zip(shown, lines, strict=True)
    )
    notes = _coincidence_notices(shown)
    notes += out_of_range_notices([shown[index] for index in leaving])
    return responsive_chart(
        "loss", "Training loss", description, draw, shown, notes, x="step", y="nats per symbol"
    )


def validation(view: ReportView) -> Chart | None:
    """The validation loss after each round."""
    return _validated(view, "validation", "Validation loss", "step", lambda one: _points(one, "step"))


def learning(view: ReportView) -> Chart | None:
    """The validation loss against seconds, start-up included."""
    return _validated(
        view,
        "learning",
        "Validation loss against time",
        "seconds",
        lambda one: _points(one, "elapsed_seconds"),
    )


def _points(variant: VariantView, of: str) -> tuple[Floats, Floats]:
    points = variant.outcome.validations
    return (
        np.array([getattr(point, of) for point in points], np.float64),
        np.array([point.loss for point in points], np.float64),
    )


def _validated(
    view: ReportView, name: str, title: str, x: str, points: Callable[[VariantView], tuple[Floats, Floats]]
) -> Chart | None:
    shown = [one for one in view.variants if one.outcome.validations]
    if not shown:
        return None
    lines = [points(one) for one in shown]
    low, high, leaving = _window([line for _, line in lines])
    timed = x == "seconds"
    begin = 0.0 if timed else float(view.report.first_step - 1)
    end = max(float(along.max()) for along, _ in lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((begin, begin + (end - begin) * 1.03), (low, high))
        for index, (one, (along, line)) in enumerate(zip(shown, lines, strict=True)):
            turn = (0, 1) if timed else (index, len(shown))
            canvas.line(Series(one.style, along, line, turn, markers=True))
            started = (one.outcome.import_seconds or 0) + (one.outcome.first_step_seconds or 0)
            if timed and started:
                canvas.stroke(one.style, started)

    description = "; ".join(
        f"{one.label} {formatting.loss(line[-1])} "
        + (f"after {formatting.seconds(float(along[-1]))} seconds" if timed else f"at step {along[-1]:,.0f}")
        for one, (along, line) in zip(shown, lines, strict=True)
    )
    notes = _coincidence_notices(shown) if not timed else []
    notes += [
        f"{one.label} was not validated."
        for one in view.variants
        if one.outcome.losses and not one.outcome.validations
    ]
    if timed:
        notes.append(
            "The short strokes on the axis of time end each variant's start-up: import and first step."
        )
    notes += out_of_range_notices([shown[index] for index in leaving])
    return responsive_chart(name, title, description, draw, shown, notes, x=x, y="nats per symbol")


def speeds(view: ReportView, measured: Sequence[VariantSpeed], name: str, title: str) -> Chart | None:
    """Each round's speed as a dot and the median as a bar."""
    rows = [
        Row(view.variant(one.variant.label), one.median, formatting.speed(one.median), one.values)
        for one in measured
        if one.median is not None
    ]
    return _bars(rows, name, title, "characters per second")


def memory(view: ReportView) -> Chart | None:
    """The peak memory of each process."""
    rows = [
        Row(one, one.outcome.peak_memory_bytes / 1e6, formatting.megabytes(one.outcome.peak_memory_bytes), ())
        for one in view.variants
        if one.outcome.peak_memory_bytes is not None
    ]
    return _bars(rows, "memory", "Peak memory", "MB")


def _bars(rows: Sequence[Row], name: str, title: str, unit: str) -> Chart | None:
    if not rows:
        return None
    description = "; ".join(f"{row.variant.label} {row.value_text}" for row in rows)
    with bar_canvas(rows, unit) as canvas:
        svg = canvas.svg(f"chart-{name}", title, f"{title}, {unit}: {description}")
    return Chart(title, (svg,), ())


def responsive_chart(
    name: str,
    title: str,
    description: str,
    draw: Callable[[Canvas], None],
    variants: Sequence[VariantView],
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
    return Chart(title, tuple(svgs), tuple(variants), tuple(notes))


def _coincidence_notices(variants: Sequence[VariantView]) -> list[str]:
    if len(variants) < 2:
        return []
    return ["Where lines coincide, their colors alternate."]


def out_of_range_notices(variants: Sequence[VariantView]) -> list[str]:
    """Names the variants whose lines leave the picture: too large, or not a number."""
    return [f"{one.label} leaves the picture." for one in variants]


def _window(lines: Sequence[Floats]) -> tuple[float, float, list[int]]:
    """The range of a loss axis, and the indices of the lines that leave it.

    A line that rises to more than five times the others' height would flatten them all, so it leaves the picture.
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
