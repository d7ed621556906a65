"""Do the backends agree? Loss curves, changes of backend half-way, evaluation, samples, and whole trainings.

    python -m benchmarks agreement anna.txt --out docs/pictures
    python -m benchmarks agreement anna.txt --whole tinyshakespeare.txt --only whole

Every training runs in a process of its own, as two frameworks in one can crash. The curves are judged as ``toolkit
compare`` judges them: single steps against the float64 oracle, and a control for what rounding alone does. Draws the
curves on each other, and their differences before the control's band, to OUT/agreement.png.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import input_file, positive_integer
from benchmarks.turns import machine
from charkit_comparison import ComparisonReport, compare

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
PARTS = ("float32", "float64", "resume", "same", "whole")
#: One color per backend, distinct for color-blind readers too (Okabe and Ito's).
COLORS = {"numpy": "#0072b2", "torch": "#d55e00", "tensorflow": "#e69f00", "jax": "#009e73"}
LEFT_AT, RESUMED_TO = 100, 200


def toolkit(*arguments: object) -> dict[str, Any]:
    """Runs one command of charkit and returns what it says as JSON."""
    command = [sys.executable, "-m", "charkit_cli", *map(str, arguments), "--json"]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)}: {child.stderr.strip()}")
    return dict(json.loads(child.stdout))


class Measurement:
    """Runs in a folder that goes away, and the losses of their steps."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.backends: list[str] = options.backends

    def train(self, name: str, backend: str, steps: int, *more: object) -> Path:
        """Trains the model of this measurement, 2x128 with dropout 0.3, and returns the run."""
        run = self.folder / name
        common = (
            "--recipe",
            "classic",
            "--threads",
            self.options.threads,
            "--log-every",
            1,
            "--eval-every",
            10**9,
        )
        shape = ("--dropout", 0.3, "--run", run, "--max-steps", steps)
        toolkit("train", self.options.text, "--backend", backend, *shape, *common, *more)
        return run

    def comparison(self, precision: str) -> ComparisonReport:
        """All backends in a precision, judged."""
        return compare(
            str(self.options.text),
            backends=self.backends,
            max_steps=self.options.steps,
            rounds=1,
            precisions=(precision,),
            threads=self.options.threads,
            dropout=0.3,
            progress=lambda what, _: print(what, file=sys.stderr),
        )


def curve(run: Path) -> np.ndarray:
    """The loss of each step of a run."""
    lines = (run / "metrics.jsonl").read_text("utf-8").splitlines()
    return np.array([json.loads(line)["loss"] for line in lines])


def print_pairs(report: ComparisonReport, title: str) -> None:
    """The verdict, and a Markdown table of every pair."""
    print(f"\n{report.verdict}")
    print(
        f"\n| {title} | largest difference, nats | mean | times the control, by that step |\n|---|---|---|---|"
    )
    for pair in report.pairs:
        differences = f"{pair.largest_loss_difference:.1e} | {pair.mean_loss_difference:.1e}"
        print(f"| {pair.first}, {pair.second} | {differences} | {pair.times_the_control:.2g} |", flush=True)


def print_resumed(measured: Measurement) -> None:
    """Every ordered pair: begun on one, resumed on the other, against the first one's unbroken curve."""
    print(f"\n| {LEFT_AT} steps on, then on to {RESUMED_TO} | largest difference, nats |\n|---|---|")
    unbroken = {name: curve(measured.train(f"{name}-whole", name, RESUMED_TO)) for name in measured.backends}
    for first, second in permutations(measured.backends, 2):
        run = measured.train(f"{first}-{second}", first, LEFT_AT)
        toolkit(
            "train", "--resume", run, "--backend", second, "--max-steps", RESUMED_TO,
            "--threads", measured.options.threads,
        )  # fmt: skip
        gap = np.abs(curve(run) - unbroken[first]).max()
        print(f"| {first}, {second} | {gap:.1e} |", flush=True)


def print_same(measured: Measurement) -> None:
    """One run, scored and sampled on every backend."""
    run = measured.train("scored", measured.backends[0], 400)
    print("\n| the same run on | validation loss, nats | of 500 sampled characters, equal to the first |")
    print("|---|---|---|")
    first = None
    for backend in measured.backends:
        on = ("--backend", backend, "--threads", measured.options.threads)
        loss = toolkit("evaluate", run, *on)["loss"]
        text = toolkit("sample", run, *on, "--prime", "Anna ", "--length", 500, "--seed", 1)["samples"][0]
        first = first or text
        equal = sum(a == b for a, b in zip(text[5:], first[5:], strict=True))
        print(f"| {backend} | {loss:.7f} | {equal} |", flush=True)


def print_whole(measured: Measurement) -> None:
    """A whole training on every backend: 1x128, 10 epochs."""
    print("\n| 1x128, 10 epochs on | steps | last validation loss, nats | best |\n|---|---|---|---|")
    for backend in measured.backends:
        run = measured.folder / f"{backend}-epochs"
        shape = (
            "--recipe",
            "classic",
            "--num-layers",
            1,
            "--epochs",
            10,
            "--threads",
            measured.options.threads,
        )
        toolkit("train", measured.options.whole, "--backend", backend, "--run", run, *shape)
        records = [json.loads(line) for line in (run / "metrics.jsonl").read_text("utf-8").splitlines()]
        losses = [one["validation_loss"] for one in records if one["validation_loss"] is not None]
        print(f"| {backend} | {records[-1]['step']} | {losses[-1]:.5f} | {min(losses):.5f} |", flush=True)


def draw(report: ComparisonReport, out: Path) -> None:
    """The curves on each other, and each one's difference from the reference before what rounding alone does."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(8, 6), sharex=True, height_ratios=(2, 1), layout="constrained"
    )
    (control,) = report.controls
    curves = {one.label: np.asarray(one.losses) for one in report.variants}
    steps = np.arange(1, report.steps + 1)
    widths = (7.0, 4.5, 2.5, 1.0)
    below.fill_between(steps, control.band, 1e-12, color="#cccccc", label="what rounding alone does")
    for (name, losses), width in zip(curves.items(), widths, strict=False):
        above.plot(steps, losses, color=COLORS[name], linewidth=width, label=name)
        if name != control.variant:
            gap = np.abs(losses - curves[control.variant])
            below.semilogy(
                steps, gap + 1e-12, color=COLORS[name], linewidth=0.8, label=f"{name} - {control.variant}"
            )
    above.set(ylabel="loss (nats per character)", title="Anna Karenina, 2x128, dropout 0.3, float32")
    above.legend()
    below.set(xlabel="step", ylabel="difference (nats)", ylim=(1e-9, 1e-3))
    below.legend(loc="lower right", ncols=2, fontsize="small")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "agreement.png", dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=input_file)
    parser.add_argument("--whole", type=input_file, help="the text of the whole trainings")
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS), choices=BACKENDS)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--steps", type=positive_integer, default=1000)
    parser.add_argument("--threads", type=positive_integer, default=2)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    options = parser.parse_args()
    print(f"{machine()}; {options.threads} threads; 2x128, dropout 0.3, {options.steps} steps", flush=True)
    with tempfile.TemporaryDirectory() as name:
        measured = Measurement(Path(name), options)
        if "float32" in options.only:
            report = measured.comparison("float32")
            print_pairs(report, "float32")
            draw(report, options.out)
        if "float64" in options.only:
            print_pairs(measured.comparison("float64"), "float64")
        if "resume" in options.only:
            print_resumed(measured)
        if "same" in options.only:
            print_same(measured)
        if "whole" in options.only and options.whole:
            print_whole(measured)


if __name__ == "__main__":
    main()
