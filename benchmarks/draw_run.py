"""Draws the curve of a run from its own records: training loss, and validation loss with its best.

python -m benchmarks draw-run runs/anna-1 docs/pictures/full-run.png
"""

from __future__ import annotations

import argparse

from benchmarks.arguments import opened_run, picture_file
from charkit.runs.records import METRICS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=opened_run)
    parser.add_argument("picture", type=picture_file)
    options = parser.parse_args()
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    run = options.run
    records = run.records(METRICS)
    scored = [record for record in records if record["validation_loss"] is not None]
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(
        [record["step"] for record in records],
        [record["loss"] for record in records],
        color="#0072b2",
        linewidth=1,
        label="training, with dropout",
    )
    steps = [record["step"] for record in scored]
    losses = [record["validation_loss"] for record in scored]
    axes.plot(steps, losses, color="#d55e00", marker="o", markersize=4, label="validation")
    axes.annotate(
        f"best {min(losses):.4f}",
        (steps[losses.index(min(losses))], min(losses)),
        xytext=(0, 10),
        textcoords="offset points",
        ha="right",
    )
    model = run.config.model
    axes.set(
        xlabel="step",
        ylabel="loss (nats per symbol)",
        title=f"{run.path.name}: {model.num_layers}x{model.lstm_size}, dropout {model.dropout:g}",
        ylim=(min(*losses, *(record["loss"] for record in records)) - 0.05, max(losses) + 0.5),
    )
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(options.picture, dpi=120)


if __name__ == "__main__":
    main()
