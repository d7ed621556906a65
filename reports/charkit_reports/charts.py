"""The charts of a report: one line for each run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from charkit_pages import formatting
from charkit_pages.canvas import Canvas, PlottedLine
from charkit_pages.charts import Chart, out_of_range_notices, responsive_chart, value_window
from charkit_pages.downsampling import Floats, bucket_extremes
from charkit_reports.run_view import RunView

#: Lines with so few points have markers.
_MOST_MARKERS = 30


def line_chart(
    views: Sequence[RunView],
    column: str,
    title: str,
    unit: str,
    text: Callable[[float], str],
    *,
    over_seconds: bool = False,
) -> Chart | None:
    """A column of the runs' histories over steps or over seconds; None where no run has a value of it."""
    found = [(view, *view.column(column)) for view in views]
    shown = [(view, seconds if over_seconds else steps, values) for view, steps, seconds, values in found]
    shown = [each for each in shown if len(each[2])]
    if not shown:
        return None
    lines = [values for _, _, values in shown]
    low, high, leaving = value_window(lines)
    end = max(float(along[-1]) for _, along, _ in shown)

    def draw(canvas: Canvas) -> None:
        canvas.limits((0.0, end * 1.02), (low, high))
        for view, along, values in shown:
            chosen = bucket_extremes(values, canvas.buckets)
            markers = len(values) <= _MOST_MARKERS and column == "validation_loss"
            canvas.line(PlottedLine(view.style, along[chosen], values[chosen], markers=markers))

    return responsive_chart(
        f"{column}{'-seconds' if over_seconds else ''}".replace("_", "-"),
        title,
        "; ".join(_described(view, values, text) for view, _, values in shown),
        draw,
        [view for view, _, _ in shown],
        out_of_range_notices([shown[index][0] for index in leaving]),
        x="seconds of training" if over_seconds else "step",
        y=unit,
    )


def _described(view: RunView, values: Floats, text: Callable[[float], str]) -> str:
    return f"{view.label} from {text(float(values[0]))} to {text(float(values[-1]))}"


def curves(views: Sequence[RunView]) -> list[Chart]:
    """Losses over steps and over time, gradient norm, and the learning rate where it changes."""
    nats = "nats per symbol"
    found = [
        line_chart(views, "loss", "Training loss", nats, formatting.loss),
        line_chart(views, "validation_loss", "Validation loss", nats, formatting.loss),
        line_chart(
            views, "validation_loss", "Validation loss over time", nats, formatting.loss, over_seconds=True
        ),
        line_chart(
            views, "gradient_norm", "Gradient norm before clipping", "norm", lambda value: f"{value:.3g}"
        ),
    ]
    rates = np.concatenate([view.column("learning_rate")[2] for view in views])
    if len(np.unique(rates)) > 1:
        found.append(
            line_chart(views, "learning_rate", "Learning rate", "learning rate", lambda value: f"{value:.3g}")
        )
    return [chart for chart in found if chart is not None]


def speed(views: Sequence[RunView]) -> Chart | None:
    """The speed of training between reports."""
    return line_chart(
        views, "characters_per_second", "Training speed", "characters per second", formatting.speed
    )
