"""Do NumPy and PyTorch agree? Loss curves, evaluation, samples, and a change of backend half-way.

    python benchmarks/agreement.py anna.txt --out docs/pictures

Draws the curves on each other, and their difference, to OUT/agreement.png.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from turns import machine

import charkit
from charkit.run import METRICS, Run
from charkit.training import TrainResult

BACKENDS = ("numpy", "torch")


def curve(result: TrainResult) -> np.ndarray:
    """The loss of each step, in nats per symbol."""
    return np.array([record["loss"] for record in Run.open(result.run).records(METRICS)])


def trained(folder: Path, backend: str, options: argparse.Namespace, **changes: Any) -> TrainResult:
    settings = {"dropout": 0.3, "log_every": 1, "max_steps": options.steps, "eval_every": 10**9, **changes}
    name = f"{backend}-{settings.get('precision', 'float32')}-{settings['max_steps']}"
    return charkit.train(
        options.text, run=folder / name, backend=backend, threads=options.threads, **settings
    )


def say_difference(what: str, first: np.ndarray, second: np.ndarray) -> None:
    difference = np.abs(first - second)
    print(f"| {what} | {difference.max():.1e} | {difference.mean():.1e} |", flush=True)


def draw(curves: dict[str, np.ndarray], out: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    steps = np.arange(1, len(curves["numpy"]) + 1)
    above.plot(steps, curves["numpy"], color="#0072b2", linewidth=4, alpha=0.45, label="NumPy")
    above.plot(steps, curves["torch"], color="#d55e00", linewidth=1, label="PyTorch")
    above.set(ylabel="loss (nats per character)", title="Anna Karenina, 2x128, dropout 0.3, float32")
    above.legend()
    below.semilogy(steps, np.abs(curves["numpy"] - curves["torch"]) + 1e-12, color="#009e73", linewidth=1)
    below.axhline(1e-4, color="black", linestyle="--", linewidth=1)
    below.text(steps[-1], 1.2e-4, "bound 1e-4", ha="right", va="bottom")
    below.set(xlabel="step", ylabel="difference (nats)", ylim=(1e-9, 1e-3))
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "agreement.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--double-steps", type=int, default=1000, help="steps of the float64 comparison")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads; Anna 2x128, dropout 0.3\n")
    print("| difference in loss, nats | largest | mean |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {backend: trained(folder, backend, options) for backend in BACKENDS}
        curves = {backend: curve(result) for backend, result in runs.items()}
        say_difference(f"{options.steps} steps, float32", curves["numpy"], curves["torch"])
        draw(curves, options.out)
        double = [
            curve(trained(folder, backend, options, precision="float64", max_steps=options.double_steps))
            for backend in BACKENDS
        ]
        say_difference(f"{options.double_steps} steps, float64", *double)
        half = options.steps // 2
        for first, second in (BACKENDS, BACKENDS[::-1]):
            begun = trained(folder, first, options, max_steps=half)
            charkit.train(resume=begun.run, backend=second, threads=options.threads, max_steps=options.steps)
            say_difference(f"{first}, resumed on {second} at {half}", curve(begun), curves[first])
        loaded = [
            charkit.load_run(runs["torch"].run, backend=name, threads=options.threads) for name in BACKENDS
        ]
        losses = [run.evaluate().loss for run in loaded]
        print(f"\nevaluate the same run on both: {losses[0]:.7f} and {losses[1]:.7f}")
        texts = [run.sample("Anna ", length=500, seed=1) for run in loaded]
        equal = sum(a == b for a, b in zip(texts[0][0][5:], texts[1][0][5:], strict=True))
        print(f"sampled characters that are equal, same seed: {equal} of 500")


if __name__ == "__main__":
    main()
