"""The figure of a history. The only module here that imports matplotlib; it is imported when a plot is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

#: Legible on white and on the dark gray of notebooks alike, since the figure's background is transparent.
TEXT, GRID = "#7a7a7a", "#7a7a7a40"
LOSS, VALIDATION, RATE = "#3b8fd1", "#e8811a", "#8a8a8a"
#: With fewer reports than this each is marked, so that even a single one shows.
MARKED_REPORTS = 40
#: Twice the 72 dots per inch of a notebook's page, for sharp screens.
NOTEBOOK_DPI = 144


class NotebookFigure(Figure):
    """A figure that a notebook shows without pyplot, whose figures are global state."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture, and its size on the page in pixels."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=NOTEBOOK_DPI)
        width, height = self.get_size_inches() * 72
        return file.getvalue(), {"width": round(width), "height": round(height)}


def plot_losses(axes: Axes, columns: Mapping[str, NDArray[Any]]) -> None:
    """Plots the loss and the validation loss over the steps on axes of the caller, whose style stays the caller's."""
    _plot_losses(axes, columns)
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats per symbol)")


def plot_history(columns: Mapping[str, NDArray[Any]]) -> Figure:
    """Plots the loss and the validation loss over the steps, and below them the learning rate if it changes.

    ``columns`` are arrays ``(reports,)`` by the names of History's columns; the losses are nats per symbol.
    """
    step, rate = columns["step"], columns["learning_rate"]
    rate_changes = bool(np.ptp(rate) > 0)
    figure = NotebookFigure(figsize=(8, 4.4 if rate_changes else 3.6), facecolor="none", layout="constrained")
    if rate_changes:
        losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        rates.plot(step, rate, color=RATE, linewidth=1.2)
        rates.set_ylim(bottom=0)
        _dress(rates, "learning rate")
        bottom = rates
    else:
        losses = bottom = figure.subplots()
    _plot_losses(losses, columns)
    losses.legend(frameon=False, labelcolor=TEXT, loc="upper right")
    _dress(losses, "loss (nats per symbol)")
    bottom.set_xlabel("step", color=TEXT)
    return figure


def _plot_losses(axes: Axes, columns: Mapping[str, NDArray[Any]]) -> None:
    """Both curves; the validation loss has a marker at each validation, since most reports have none."""
    step, validation = columns["step"], columns["validation_loss"]
    marker = "." if len(step) < MARKED_REPORTS else ""
    axes.plot(step, columns["loss"], color=LOSS, linewidth=1.4, marker=marker, label="training")
    scored = ~np.isnan(validation)
    if scored.any():
        axes.plot(
            step[scored],
            validation[scored],
            color=VALIDATION,
            linewidth=1.8,
            marker="o" if scored.sum() < MARKED_REPORTS else "",
            markersize=4,
            label="validation",
        )
    axes.legend(frameon=False, loc="upper right")


def _dress(axes: Axes, label: str) -> None:
    """Quiet axes: a grid, two spines, and text that is legible on light and dark."""
    axes.set_facecolor("none")
    axes.set_ylabel(label, color=TEXT)
    axes.grid(color=GRID, linewidth=0.8)
    axes.tick_params(which="both", color=GRID, labelcolor=TEXT)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
