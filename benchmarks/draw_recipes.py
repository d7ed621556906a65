"""Draws validation loss against minutes of training for several runs, from their own records.

    python -m benchmarks draw-recipes runs/python-reference-1 runs/input-1 runs/anna-1 docs/pictures/recipes.png

The legend names each run's recipe and text. Curves over the same text have the same color, since only
their losses can be compared.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import charkit
from benchmarks.arguments import opened_run, picture_file
from charkit.runs.records import METRICS
from charkit.runs.run import Run

#: Okabe and Ito's palette, which readers with color blindness can distinguish.
COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = "osD^v"


def main() -> None:
    """Reads the runs and writes the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=opened_run)
    parser.add_argument("picture", type=picture_file)
    options = parser.parse_args()
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    colors: dict[str, str] = {}
    for number, run in enumerate(options.runs):
        minutes, losses = validations(run)
        text = text_name(run)
        color = colors.setdefault(text, COLORS[len(colors) % len(COLORS)])
        label = f"{min(losses):.3f}  {run.config.recipe or 'no recipe'}, {text}"
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(minutes, losses, color=color, marker=marker, markersize=4, linewidth=1, label=label)
    axes.legend(title="lowest loss, recipe, text", loc="upper right", fontsize=9)
    axes.set(xscale="log", xlabel="minutes of training", ylabel="validation loss (nats per character)")
    axes.xaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.margins(y=0.1)
    axes.grid(alpha=0.3)
    figure.savefig(options.picture, dpi=120)


def validations(run: Run) -> tuple[list[float], list[float]]:
    """Minutes of training and loss of each validation of a run."""
    scored = [record for record in run.records(METRICS) if record["validation_loss"] is not None]
    return [record["elapsed_seconds"] / 60 for record in scored], [
        record["validation_loss"] for record in scored
    ]


def text_name(run: Run) -> str:
    """What a recipe calls the text of its results if this is the same text, and otherwise the name of its file."""
    known = {recipe.text.sha256: recipe.text.name for recipe in charkit.recipes() if recipe.text}
    return known.get(run.text_sha256) or Path((run.config.data.text or ("text",))[0]).stem


if __name__ == "__main__":
    main()
