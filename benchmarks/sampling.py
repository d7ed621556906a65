"""Sampling speed: charkit on each backend against its framework's own layers step by step, and 64 streams against one.

NumPy, which has no layers of its own, is measured against those of PyTorch.

python -m benchmarks sampling
python -m benchmarks sampling --sizes 2x512 --participants "charkit numpy"
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

from benchmarks.arguments import positive_integer
from benchmarks.cases import SIZES
from benchmarks.results import Result, add_options, command_line, measured, show
from benchmarks.step_loops import STEP_LOOPS
from benchmarks.turns import Participant, answer_orders, take_turns

VOCABULARY = "".join(map(chr, range(32, 115)))
STREAMS = 64
#: One stream on each backend, and the step loop of its framework.
STEP_BY_STEP = {
    "charkit numpy": "plain torch",
    "charkit torch": "plain torch",
    "charkit tensorflow": "keras tensorflow",
    "charkit jax": "flax jax",
}
ONE = tuple(STEP_BY_STEP)
#: With so many streams at once, beside the same backend with one.
PARALLEL = tuple(f"{name}, {STREAMS} streams" for name in ONE)
PEERS = STEP_BY_STEP | dict(zip(PARALLEL, ONE, strict=True))


def drawer(name: str, size: str, threads: int) -> Callable[[int], None]:
    """A function that draws so many characters in all."""
    shape = SIZES[size]
    if name in STEP_LOOPS:
        return STEP_LOOPS[name](len(VOCABULARY), shape, threads)
    from charkit import CharRNN
    from charkit.config import SamplingConfig
    from charkit.sampling import sample_texts
    from charkit.text.vocabulary import Vocabulary

    os.environ["CHARKIT_NUMBA"] = "0"  # a single stream doesn't use it
    vocabulary = Vocabulary.of_text(VOCABULARY)
    backend, _, parallel = name.removeprefix("charkit ").partition(", ")
    count = STREAMS if parallel else 1
    model = CharRNN(
        vocabulary.size,
        lstm_size=shape.lstm_size,
        num_layers=shape.num_layers,
        backend=backend,
        threads=threads,
    )

    def draw(characters: int) -> None:
        length = max(1, characters // count)
        sample_texts(model, vocabulary, SamplingConfig(length=length, count=count, seed=1))

    return draw


def main() -> None:
    """Measures each size, and prints a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2x128", "2x512"])
    parser.add_argument("--participants", nargs="+", choices=[*STEP_LOOPS, *PEERS], metavar="NAME")
    parser.add_argument("--characters", type=positive_integer, default=1000, help="of a turn [default: 1000]")
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    add_options(parser, rounds=5)
    options = parser.parse_args()
    if options.participant:
        _work(options)
        return
    if options.quick:
        options.sizes, options.rounds, options.characters = ["tiny"], 2, 128
        options.participants = options.participants or [ONE[0], PARALLEL[0]]
    chosen = options.participants or [*ONE, *PARALLEL]
    names = list(dict.fromkeys([*(PEERS[name] for name in chosen if name in PEERS), *chosen]))
    for size in options.sizes:
        arguments = ["--size", size, "--characters", str(options.characters)]
        arguments += ["--threads", str(options.threads)]
        participants = [
            Participant(name, "benchmarks.sampling", arguments, options.threads) for name in names
        ]
        try:
            take_turns(participants, options.rounds)
        finally:
            for participant in participants:
                participant.close()
        title, command = f"Sampling {size}", command_line("sampling")
        values = measured(participants, PEERS)
        show(
            Result(f"sampling-{size}", title, "characters/s", command, values, options.threads),
            options,
        )


def _work(options: argparse.Namespace) -> None:
    """In the worker process: draws on each request, with ten times as many characters for 64 streams."""
    draw = drawer(options.participant, options.size, options.threads)
    characters = options.characters * (10 if options.participant in PARALLEL else 1)

    def work() -> dict[str, float]:
        began = time.perf_counter()
        draw(characters)
        return {"speed": characters / (time.perf_counter() - began)}

    answer_orders(work, lambda: draw(characters // 10))


if __name__ == "__main__":
    main()
