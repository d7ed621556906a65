"""Seconds from the start of the process until a recipe's validation loss falls to a given value.

python -m benchmarks time-to-loss tinyshakespeare.txt --loss 1.886

The default loss is what nanoGPT's recipe for CPUs was measured to reach on the same tenth of tiny Shakespeare, in its
2,000 steps and 127 seconds, on a machine with two cores of an AMD processor.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import input_file, positive_integer, positive_number
from benchmarks.results import Measured, Result, add_options, command_line, show

NANOGPT_LOSS, NANOGPT_SECONDS = 1.886, 127.0
RECIPE = "shakespeare-2-minutes"


class _ReachedError(Exception):
    """The loss was reached."""


def _reached(validation_loss: float | None, loss: float) -> bool:
    return validation_loss is not None and validation_loss <= loss


def work(options: argparse.Namespace) -> None:
    """In the worker process: trains until the loss is reached, and prints its step, or fails."""
    import charkit
    from charkit.events import StepMetrics

    def watch(event: Any) -> None:
        if isinstance(event, StepMetrics) and _reached(event.validation_loss, options.loss):
            print(event.step, flush=True)
            raise _ReachedError

    with tempfile.TemporaryDirectory() as folder:
        try:
            charkit.train(
                options.text,
                recipe=options.recipe,
                run=Path(folder) / "run",
                threads=options.threads,
                eval_every=options.eval_every,
                sample_length=0,
                on_event=watch,
            )
        except _ReachedError:
            return
    raise SystemExit(f"{options.recipe} ended without a validation loss of {options.loss:g}")


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=input_file, help="a text file")
    parser.add_argument("--recipe", default=RECIPE, help=f"[default: {RECIPE}]")
    parser.add_argument(
        "--loss", type=positive_number, default=NANOGPT_LOSS, help=f"nats [default: {NANOGPT_LOSS:g}]"
    )
    parser.add_argument(
        "--eval-every", type=positive_integer, default=50, help="steps between validations [default: 50]"
    )
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    add_options(parser, rounds=3)
    options = parser.parse_args()
    if options.participant:
        work(options)
        return
    if options.quick:
        options.recipe, options.loss, options.eval_every, options.rounds = "classic", 10.0, 1, 1
    command = [sys.executable, "-m", "benchmarks.time_to_loss", "--participant", options.recipe]
    command += [str(options.text), "--recipe", options.recipe, "--loss", str(options.loss)]
    command += ["--eval-every", str(options.eval_every), "--threads", str(options.threads)]
    rounds = []
    for number in range(options.rounds):
        rounds.append([seconds_to_first_line(command)])
        print(f"round {number + 1} of {options.rounds}: {rounds[-1][0]:.1f} seconds", file=sys.stderr)
    title = f"Seconds until {options.recipe} has a validation loss of {options.loss:g}"
    name = f"time-to-loss-{Path(options.recipe).stem}-{options.loss:g}"
    again = command_line("time-to-loss", options.text)
    values = [Measured(f"charkit, {options.recipe}", rounds)]
    show(Result(name, title, "seconds", again, values, options.threads), options)


def seconds_to_first_line(command: list[str]) -> float:
    """How long the process takes to its first line of output; it may take longer to its end."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
    if process.returncode or not line:
        raise SystemExit(process.returncode or "the process printed nothing")
    return seconds


if __name__ == "__main__":
    main()
