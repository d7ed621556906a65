"""The core's own share of a training step: batches, masks, events, records and saves, all but the backend's work.

Also the longest pause between two steps, which a save causes.

python -m benchmarks overhead
python -m benchmarks overhead --backends numpy --steps 2000

A whole training as ``toolkit train`` makes it (dropout, reports, a save every 100 steps), in which the time inside of
the backend's training function is added up. What is left of the time between the first step and the last is the core's.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.arguments import positive_integer
from benchmarks.cases import SIZES
from benchmarks.results import Measured, Result, add_options, command_line, show
from benchmarks.turns import Worker, answer_orders

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
SAVE_EVERY = 100


class _Clock:
    """Adds up the time inside of the backend's training function, and remembers the first call and the last."""

    def __init__(self) -> None:
        self.inside = 0.0
        self.longest_pause = 0.0
        self.first: float | None = None
        self.last = 0.0

    def timed(self, train: Any, backend: Any) -> Any:
        """The function, which waits for its result."""

        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = train(*arguments)
            backend.numpy(result[-1])  # the norm: known when all is done
            ended = time.perf_counter()
            if self.first is None:  # the first call compiles
                self.first = ended
            else:
                self.inside += ended - began
                self.longest_pause = max(self.longest_pause, began - self.last)
            self.last = ended
            return result

        return run

    def share(self) -> float:
        """Of the time between the end of the first call and that of the last, what was spent outside."""
        assert self.first is not None
        return 1.0 - self.inside / (self.last - self.first)


def measure(options: argparse.Namespace) -> dict[str, float]:
    """In the worker process: trains, and returns the share in percent and the longest pause in milliseconds."""
    import charkit
    from charkit.network import Network

    clock, make = _Clock(), Network.__init__

    def make_timed(self: Network, backend: Any, *rest: Any) -> None:
        make(self, backend, *rest)
        if hasattr(self, "train"):
            self.train = clock.timed(self.train, backend)

    Network.__init__ = make_timed  # type: ignore[method-assign, assignment]  # only in this worker process
    size = SIZES[options.size]
    with tempfile.TemporaryDirectory() as folder:
        charkit.train(
            recipe="classic",
            run=Path(folder) / "run",
            backend=options.participant,
            threads=options.threads,
            lstm_size=size.lstm_size,
            num_layers=size.num_layers,
            batch_size=size.batch_size,
            num_steps=size.num_steps,
            dropout=0.5,
            max_steps=options.steps,
            save_every=SAVE_EVERY,
            eval_every=10 * options.steps,
            sample_length=1,
        )
    Network.__init__ = make  # type: ignore[method-assign]  # put back
    return {"share": 100 * clock.share(), "pause": 1000 * clock.longest_pause}


def main() -> None:
    """Measures every backend, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--steps", type=positive_integer, default=500)
    parser.add_argument("--size", choices=SIZES, default="2x128")
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    add_options(parser, rounds=3)
    options = parser.parse_args()
    if options.participant:
        answer_orders(lambda: measure(options), lambda: None)
        return
    if options.quick:
        options.size, options.steps, options.rounds, options.backends = "tiny", 20, 1, ["numpy"]
    arguments = ["--size", options.size, "--steps", str(options.steps), "--threads", str(options.threads)]
    shares, pauses = [], []
    for backend in options.backends:
        worker = Worker(backend, "benchmarks.overhead", arguments, options.threads)
        try:
            rounds = [worker.work("go") for _ in range(options.rounds)]
        finally:
            worker.close()
        shares.append(Measured(backend, [[found["share"]] for found in rounds]))
        pauses.append(Measured(backend, [[found["pause"]] for found in rounds]))
    command = command_line("overhead")
    training = f"training {options.size}, dropout 0.5, a save every {SAVE_EVERY} steps"
    title = f"The core's share of {training}"
    show(
        Result(f"overhead-{options.size}", title, "percent of the time", command, shares, options.threads),
        options,
    )
    title = f"The longest pause between two steps, {training}"
    show(Result(f"pauses-{options.size}", title, "ms", command, pauses, options.threads), options)


if __name__ == "__main__":
    main()
