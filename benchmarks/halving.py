"""Nine trials, each trained whole and by successive halving: does halving find as good a one with fewer steps?

    python -m benchmarks halving anna.txt --searches 3

For each search, nine learning rates are drawn. A sweep trains all of them whole, one after the other; another, with the
same nine, has rungs at a ninth and a third of the steps. The spread of seeds is that of the best learning rate, trained
with three seeds. Everything is written into a temporary folder.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from statistics import stdev
from typing import Any

import charkit
from benchmarks.arguments import input_file, positive_integer


def main() -> None:
    """Prints a line for each search."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "text", nargs="?", type=input_file, help="a text file; unset, Python's language reference"
    )
    parser.add_argument(
        "--steps", type=positive_integer, default=540, help="of a whole trial, a multiple of 9"
    )
    parser.add_argument("--lstm-size", type=positive_integer, default=64)
    parser.add_argument("--batch-size", type=positive_integer, default=32)
    parser.add_argument("--searches", type=positive_integer, default=3)
    options = parser.parse_args()
    text = None if options.text is None else str(options.text.resolve())
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for search in range(options.searches):
            print(compare(text, options.steps, options.lstm_size, options.batch_size, search), flush=True)


def compare(text: str | None, steps: int, lstm_size: int, batch_size: int, search: int) -> str:
    """What came of one search, in a line."""
    shared: dict[str, Any] = {
        **({} if text is None else {"text": text}),
        "fixed": {
            "recipe": "classic",
            "model": {"lstm_size": lstm_size, "num_layers": 1},
            "data": {"batch_size": batch_size, "validation_share": 0.02},
            "training": {
                "max_steps": steps,
                "sample_length": 0,
                "schedule": "cosine",
                "warmup_steps": steps // 20,
            },
        },
    }
    shared["fixed"]["training"]["eval_every"] = (
        steps // 9
    )  # in both: the best loss is that of as many validations
    rates = {"optimizer.learning_rate": {"low": 1e-4, "high": 1e-1, "log": True}}
    drawn = {**shared, "axes": rates, "search": "random", "search_seed": search, "trials": 9}
    whole = charkit.sweep({**drawn, "name": f"whole-{search}"}, threads=1)
    halved = charkit.sweep(
        {**drawn, "name": f"halved-{search}", "halving": {"first_rung": steps // 9, "factor": 3}}, threads=1
    )
    assert whole.best is not None
    assert halved.best is not None
    best = {"optimizer.learning_rate": whole.best.values["optimizer.learning_rate"]}
    seeds = charkit.sweep(
        {
            **shared,
            "name": f"seeds-{search}",
            "fixed": {**shared["fixed"], **best},
            "axes": {"seed": [0, 1, 2]},
        },
        threads=1,
    )
    losses = [trial.loss for trial in seeds.trials if trial.loss is not None]
    return (
        f"search {search}: whole {whole.best.loss:.4f} (trial {whole.best.number}, {whole.steps:,} steps); "
        f"halving {halved.best.loss:.4f} (trial {halved.best.number}, {halved.steps:,} steps, "
        f"{halved.steps / whole.steps:.1%}); seeds {min(losses):.4f} to {max(losses):.4f}, "
        f"standard deviation {stdev(losses):.4f}"
    )


if __name__ == "__main__":
    main()
