"""How far the losses of a run in shards are from those of the whole batch, beside what rounding alone does.

    python -m benchmarks shards nietzsche.txt
    python -m benchmarks shards nietzsche.txt --write docs/scaling.md

Shards add the same gradients in another order, so losses differ by rounding, which training amplifies. The controls
are those of ``toolkit compare``: the whole batch again, the weights moved by one rounding unit before the first step
and every ten steps (docs/decisions/0016). NumPy, one thread, in this process: workers would give the same bits.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.arguments import input_file, positive_integer, positive_number
from benchmarks.results import command_line
from benchmarks.scaling import write
from benchmarks.turns import machine
from charkit import CharRNN
from charkit.config import DataConfig
from charkit.text.batches import Batches
from charkit.text.corpus import Corpus, open_corpus
from charkit.training.steps import upcoming_steps
from charkit.training.workers import runner_in_process
from charkit_comparison.agreement.rounding_control import PERTURBED_EVERY, band, perturbed_weights

BEGIN, END = "<!-- shards: written by benchmarks/shards.py -->", "<!-- end of shards -->"
SEED = 0


class Setting:
    """The model, the text and the steps that all curves share."""

    def __init__(self, corpus: Corpus, options: argparse.Namespace, precision: str) -> None:
        self._corpus, self._options, self._precision = corpus, options, precision
        start, stop = corpus.split("train")
        self._batches = Batches(corpus.symbols, options.batch, options.length, start=start, stop=stop)

    def losses(self, shards: int, control: int = 0) -> np.ndarray:
        """The loss of each step; ``control`` is the number of a control, and 0 is none."""
        options = self._options
        model = CharRNN(
            vocabulary_size=self._corpus.vocabulary.size,
            lstm_size=options.units,
            num_layers=2,
            dropout=0.3,
            batch_size=options.batch,
            num_steps=options.length,
            precision=self._precision,
            threads=1,
            seed=SEED,
        )
        run, losses = runner_in_process(shards), []
        for step in upcoming_steps(model, self._batches, 1, options.steps, lambda _: options.learning_rate):
            if control and (step.number - 1) % PERTURBED_EVERY == 0:
                moved = perturbed_weights(model.weights(), self._precision, SEED, control, step.number - 1)
                model.replace_weights(moved)
            losses.append(run(model, step).loss)
        name = f"control {control}" if control else f"{shards} shards"
        print(f"{self._precision}: {name}", file=sys.stderr)
        return np.array(losses)


def rows(setting: Setting, options: argparse.Namespace, precision: str) -> list[str]:
    """A row for each curve: its largest difference up to some steps, and the same in multiples of the control."""
    whole = setting.losses(1)
    controls = [setting.losses(1, number + 1) for number in range(options.controls)]
    within = band(whole, controls[0], precision)
    steps = [count for count in (10, 100, 300) if count < options.steps] + [options.steps]
    lines = [
        "",
        f"| {precision}, largest difference in loss from one shard, nats | "
        + " | ".join(f"up to step {count:,}" for count in steps)
        + " | largest ratio to the first control |",
        "|---" * (len(steps) + 2) + "|",
    ]
    curves = {f"control {number}": curve for number, curve in enumerate(controls, start=1)}
    curves |= {f"{shards} shards": setting.losses(shards) for shards in options.shards}
    for name, curve in curves.items():
        gaps = np.maximum.accumulate(np.abs(curve - whole))
        cells = " | ".join(f"{gaps[count - 1]:.1e}" for count in steps)
        lines.append(f"| {name} | {cells} | {(gaps / within).max():.2g} |")
    return lines


def report(options: argparse.Namespace) -> list[str]:
    """Everything, as Markdown."""
    lines = [
        f"`{command_line('shards', options.text)}`: "
        f"{options.steps:,} steps of 2x{options.units}, dropout 0.3, batches of {options.batch} x {options.length}, "
        f"learning rate {options.learning_rate:g}, on {options.text.name}. {machine()}."
    ]
    with open_corpus(DataConfig(text=(str(options.text),))) as corpus:
        for precision in options.precisions:
            lines += rows(Setting(corpus, options, precision), options, precision)
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains the curves and compares them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("text", type=input_file)
    parser.add_argument("--steps", type=positive_integer, default=1000)
    parser.add_argument("--shards", type=positive_integer, nargs="+", default=[2, 8, 32])
    parser.add_argument("--controls", type=positive_integer, default=3)
    parser.add_argument("--precisions", nargs="+", default=["float32", "float64"])
    parser.add_argument("--units", type=positive_integer, default=64)
    parser.add_argument("--batch", type=positive_integer, default=32)
    parser.add_argument("--length", type=positive_integer, default=40)
    parser.add_argument("--learning-rate", type=positive_number, default=0.002)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="the page whose figures are replaced")
    options = parser.parse_args(arguments)
    lines = report(options)
    print("\n".join(lines))
    if options.write:
        write(options.write, lines, BEGIN, END)


if __name__ == "__main__":
    main()
