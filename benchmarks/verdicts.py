"""Are the verdicts of ``toolkit compare`` true? Short comparisons of backends that are right: none may be accused.

    python -m benchmarks verdicts run anna.txt nietzsche.txt tinyshakespeare.txt --count 300 --out verdicts.jsonl
    python -m benchmarks verdicts report verdicts.jsonl

Each comparison draws its text (or the built-in one, or one sentence again and again, which is soon predicted well),
learning rate, model, dropout, clipping, precision, seed and
length. NumPy and PyTorch take part in all, TensorFlow and JAX, which compile anew for each, in a quarter each. A
process per backend makes all comparisons, so that no import is waited for. What benchmarks/misses.py plants is the
other side of it.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import input_file, integer_from_zero, output_file, positive_integer
from benchmarks.turns import machine
from charkit_comparison import ComparisonReport, Variant
from charkit_comparison.comparison import run_comparison
from charkit_comparison.plan import Plan
from charkit_comparison.processes.worker_process import WorkerProcess
from charkit_comparison.starting_point import from_text

#: Layers, units, sequences of a batch, symbols of a sequence.
MODELS = (
    (1, 16, 8, 20),
    (2, 16, 8, 20),
    (1, 32, 16, 25),
    (2, 32, 16, 25),
    (3, 24, 8, 30),
    (2, 64, 32, 40),
    (1, 128, 32, 50),
)
LEARNING_RATES = (3e-4, 2e-2)
STEPS = (40, 80, 150, 250)
#: A text that a model soon predicts so well that its loss is the difference of nearly equal numbers.
PERIODIC_NAME, PERIODIC = "periodic.txt", "The quick brown fox jumps over the lazy dog.\n" * 500
#: In each comparison, and in a quarter of them.
ALWAYS, SOMETIMES = ("numpy", "torch"), ("tensorflow", "jax")
BACKENDS = (*ALWAYS, *SOMETIMES)


class PooledWorker(WorkerProcess):
    """A worker that goes back to its pool instead of ending, unless it failed."""

    pool: Pool

    def close(self) -> None:
        """Keeps the process for the next comparison, or ends what can't be used again."""
        if self.is_idle and self not in self.pool.idle:
            self.pool.idle.append(self)
        elif not self.is_idle:
            super().close()


class Pool:
    """Processes that make one comparison after the other."""

    def __init__(self) -> None:
        self.idle: list[PooledWorker] = []

    def start(
        self, variant: Variant, plan: Plan, steps: int | None = None, *, control: int = 0
    ) -> WorkerProcess:
        """An idle process of that backend, or a new one."""
        for worker in self.idle:
            if worker.backend == variant.backend:
                self.idle.remove(worker)
                worker.configure(variant, plan, steps, control=control)
                return worker
        worker = PooledWorker(variant, plan, steps, control=control)
        worker.pool = self
        return worker

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.idle:
            WorkerProcess.close(worker)


@dataclass(frozen=True)
class Drawn:
    """One comparison: its settings, backends and length."""

    settings: dict[str, dict[str, Any]]
    backends: tuple[str, ...]
    precision: str
    steps: int
    more: dict[str, Any] = field(default_factory=dict)


def draw(number: int, seed: int, texts: Sequence[str], backends: Sequence[str]) -> Drawn:
    """The comparison of that number."""
    rng = random.Random(f"{seed}:{number}")
    layers, units, batch, steps = rng.choice(MODELS)
    low, high = map(math.log, LEARNING_RATES)
    text = rng.choice([*texts, ""])
    data: dict[str, Any] = {"batch_size": batch, "num_steps": steps}
    if text:
        data["text"] = (text,)
    settings = {
        "model": {"num_layers": layers, "lstm_size": units, "dropout": rng.choice((0.0, 0.0, 0.3))},
        "optimizer": {
            "learning_rate": float(f"{math.exp(rng.uniform(low, high)):.3g}"),
            "grad_clip": rng.choice((5.0, 1.0, 0.0)),
            "weight_decay": rng.choice((0.0, 0.0, 0.01)),
        },
        "training": {"seed": rng.randrange(10**6)},
        "data": data,
    }
    compiling = [name for name in SOMETIMES if name in backends and rng.random() < 0.25]
    always = [name for name in ALWAYS if name in backends]
    precision = rng.choice(("float32", "float32", "float64"))
    return Drawn(settings, (*always, *compiling), precision, rng.choice(STEPS), {"number": number})


def judged(drawn: Drawn, threads: int, pool: Pool) -> ComparisonReport:
    """The comparison, made."""
    with ExitStack() as hold, tempfile.TemporaryDirectory(prefix="charkit-verdicts-") as folder:
        start = from_text(drawn.settings, hold)
        plan = Plan(start.spec.config, steps=drawn.steps, rounds=1, threads=threads, folder=Path(folder))
        variants = [Variant(name, name, drawn.precision) for name in drawn.backends]
        return run_comparison(plan, variants, start, start_worker=pool.start)


def record(drawn: Drawn, report: ComparisonReport) -> dict[str, Any]:
    """What is kept of a comparison."""
    shares = [
        one.largest_share_of_bound for one in report.examinations if one.largest_share_of_bound is not None
    ]
    settings = {key: value for section in drawn.settings.values() for key, value in section.items()}
    settings["text"] = report.text.name
    return {
        **drawn.more,
        **settings,
        "backends": drawn.backends,
        "precision": drawn.precision,
        "steps": drawn.steps,
        "agree": report.agree,
        "verdict": report.verdict,
        "examined": sum(len(one.steps) for one in report.examinations),
        "largest_share_of_bound": max(shares, default=None),
        "largest_loss_difference": max((pair.largest_loss_difference for pair in report.pairs), default=0.0),
        "control": report.controls[0].largest_loss_difference if report.controls else None,
        "controls_trained": sum(control.trained for control in report.controls),
        "times_the_control": max((pair.times_the_control or 0.0 for pair in report.pairs), default=0.0),
        "times_the_first_control": _times_first(report),
    }


def _times_first(report: ComparisonReport) -> float:
    """The largest excess over the band of the first control alone."""
    from charkit_comparison.agreement.curve_differences import loss_differences
    from charkit_comparison.agreement.rounding_control import band, excess

    by_label = {one.label: one for one in report.variants}
    largest = 0.0
    for control in report.controls:
        size = report.config.model.vocabulary_size
        within = band(by_label[control.variant].losses, control.losses, control.precision, size)
        for pair in report.pairs:
            ratio = excess(loss_differences(by_label[pair.first], by_label[pair.second]), within)
            largest = max(largest, float(ratio.max(initial=0.0)))
    return largest


def run(options: argparse.Namespace) -> None:
    """Makes the comparisons, and writes a line for each as it ends."""
    done = (
        {json.loads(line)["number"] for line in options.out.read_text().splitlines()}
        if options.out.exists()
        else set()
    )
    with Pool() as pool, options.out.open("a") as file, tempfile.TemporaryDirectory() as folder:
        periodic = Path(folder) / PERIODIC_NAME
        periodic.write_text(PERIODIC, "utf-8")
        texts = [*map(str, options.texts), str(periodic)]
        for number in range(options.first, options.first + options.count):
            if number in done:
                continue
            drawn = draw(number, options.seed, texts, options.backends)
            line = record(drawn, judged(drawn, options.threads, pool))
            print(json.dumps(line), file=file, flush=True)
            mark = "" if line["agree"] else f"  {line['verdict']}"
            print(
                f"{number}: {line['agree']}, {line['times_the_control']:.2g} times the control{mark}",
                file=sys.stderr,
            )


def report(options: argparse.Namespace) -> None:
    """A Markdown table of what was made, by learning rate and precision."""
    lines = [json.loads(line) for path in options.files for line in path.read_text().splitlines()]
    print(f"{machine()}\n")
    print(
        "| precision | learning rate | comparisons | false alarms | steps examined | largest share of a bound "
        "| largest difference, nats | beyond 20 times one control | most controls trained |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    edges = (0.0, 1e-3, 3e-3, 1e-2, 1.0)
    for precision in ("float32", "float64"):
        for low, high in pairwise(edges):
            group = [
                one for one in lines if one["precision"] == precision and low <= one["learning_rate"] < high
            ]
            if group:
                print(f"| {precision} | {_range(low, high)} | {_row(group)} |")
    print(f"| all | | {_row(lines)} |")
    ratios = np.array([one["times_the_first_control"] for one in lines])
    percentiles = ", ".join(f"{q:g} %: {np.percentile(ratios, q):.2g}" for q in (50, 90, 95, 99, 100))
    print(f"\nDistance as a multiple of the first control's, over comparisons: {percentiles}.")
    for one in lines:
        if not one["agree"]:
            print(f"\nFALSE ALARM {one['number']}: {one['verdict']}")


def _range(low: float, high: float) -> str:
    if low == 0.0:
        return f"below {high:g}"
    return f"from {low:g}" if high == 1.0 else f"{low:g} to {high:g}"


def _row(group: Sequence[dict[str, Any]]) -> str:
    cells = (
        f"{len(group)}",
        f"{sum(not one['agree'] for one in group)}",
        f"{sum(one['examined'] for one in group):,}",
        f"{max(one['largest_share_of_bound'] for one in group):.2f}",
        f"{max(one['largest_loss_difference'] for one in group):.1e}",
        f"{sum(one['times_the_first_control'] > 20 for one in group)}",
        f"{max(one['controls_trained'] for one in group)}",
    )
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("run", help="make comparisons")
    making.add_argument("texts", nargs="*", type=input_file, help="texts beside the built-in one")
    making.add_argument("--count", type=positive_integer, default=300)
    making.add_argument(
        "--first", type=integer_from_zero, default=0, help="number of the first, to share the work"
    )
    making.add_argument("--seed", type=int, default=1)
    making.add_argument("--threads", type=positive_integer, default=1)
    making.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    making.add_argument("--out", type=output_file, default=Path("verdicts.jsonl"))
    making.set_defaults(act=run)
    report_command = commands.add_parser("report", help="print the table of what was made")
    report_command.add_argument("files", nargs="+", type=input_file)
    report_command.set_defaults(act=report)
    options = parser.parse_args()
    if options.act is run and not set(ALWAYS) & set(options.backends):
        making.error(f"--backends needs {' or '.join(ALWAYS)}, which take part in every comparison")
    options.act(options)


if __name__ == "__main__":
    main()
