"""The report's charts: lines over steps or seconds, and bars with a dot for each round."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from charkit_comparison.page.variant_view import VariantView
from charkit_comparison.page.view import Floats, ReportView
from charkit_comparison.speeds import VariantSpeed
from charkit_pages import formatting
from charkit_pages.canvas import Canvas, PlottedLine, Row
from charkit_pages.charts import (
    COINCIDENCE_NOTICE,
    Chart,
    bar_chart,
    out_of_range_notices,
    responsive_chart,
    value_window,
)
from charkit_pages.downsampling import bucket_extremes


def losses(view: ReportView) -> Chart | None:
    """The training loss of all variants in one picture."""
    shown = [one for one in view.variants if one.outcome.losses]
    if not shown:
        return None
    first = view.report.first_step
    lines = [np.asarray(one.outcome.losses, np.float64) for one in shown]
    low, high, leaving = value_window(lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((first, first + max(map(len, lines)) - 1), (low, high))
        for one, line in zip(shown, lines, strict=True):
            chosen = bucket_extremes(line, canvas.buckets)
            canvas.line(
                PlottedLine(one.style, first + chosen, line[chosen], turn=(shown.index(one), len(shown)))
            )

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
        "Validation loss over time",
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
    low, high, leaving = value_window([line for _, line in lines])
    timed = x == "seconds"
    begin = 0.0 if timed else float(view.report.first_step - 1)
    end = max(float(along.max()) for along, _ in lines)

    def draw(canvas: Canvas) -> None:
        canvas.limits((begin, begin + (end - begin) * 1.03), (low, high))
        for index, (one, (along, line)) in enumerate(zip(shown, lines, strict=True)):
            turn = (0, 1) if timed else (index, len(shown))
            canvas.line(PlottedLine(one.style, along, line, turn, markers=True))
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
            "The short marks on the time axis show the end of each variant's startup: import and first step."
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
    return bar_chart(rows, name, title, "characters per second")


def memory(view: ReportView) -> Chart | None:
    """The peak memory of each process."""
    rows = [
        Row(one, one.outcome.peak_memory_bytes / 1e6, formatting.megabytes(one.outcome.peak_memory_bytes), ())
        for one in view.variants
        if one.outcome.peak_memory_bytes is not None
    ]
    return bar_chart(rows, "memory", "Peak memory", "MB")


def _coincidence_notices(variants: Sequence[VariantView]) -> list[str]:
    return [COINCIDENCE_NOTICE] if len(variants) > 1 else []
