"""Speed of scoring a text (``toolkit evaluate`` and validation) beside training on the same backend.

python -m benchmarks evaluation
python -m benchmarks evaluation anna.txt --sizes 2x512

Training computes the forward part and two backward parts of the same size: evaluation that is as fast as the forward
part of training scores three times as many characters per second as training.
"""

from __future__ import annotations

import argparse
import time

from benchmarks.arguments import input_file, positive_integer
from benchmarks.cases import SIZES, batches_forever, charkit_network, corpus_of
from benchmarks.results import Result, add_options, command_line, measured, show
from benchmarks.turns import Participant, answer_orders, take_turns
from charkit.evaluation import evaluate

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
PEERS = {f"evaluation {name}": f"training {name}" for name in BACKENDS}


def work(options: argparse.Namespace) -> None:
    """In the worker process: trains for some seconds, or scores so many characters, on each request."""
    kind, backend = options.participant.split()
    size = SIZES[options.size]
    with corpus_of(options) as corpus:
        network = charkit_network(f"charkit {backend}", options, corpus.vocabulary.size)
        stream = batches_forever(corpus, size)
        last = min(options.characters, len(corpus.symbols))

        def score() -> dict[str, float]:
            began = time.perf_counter()
            scored = evaluate(network, corpus.symbols, corpus.vocabulary, 0, last).symbols
            return {"speed": scored / (time.perf_counter() - began)}

        def train() -> dict[str, float]:
            began, symbols = time.perf_counter(), 0
            while symbols < options.characters / 3:
                _ = network.train_step(*next(stream)).loss
                symbols += size.batch_symbols
            return {"speed": symbols / (time.perf_counter() - began)}

        action = score if kind == "evaluation" else train
        answer_orders(action, action)


def main() -> None:
    """Measures each size, and prints a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?", type=input_file, help="a text file [default: the built-in text]")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2x128"])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument(
        "--characters", type=positive_integer, default=400_000, help="to score in a turn [default: 400000]"
    )
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    add_options(parser, rounds=5)
    options = parser.parse_args()
    options.dropout = 0.0
    if options.participant:
        work(options)
        return
    if options.quick:
        options.sizes, options.rounds, options.characters, options.backends = ["tiny"], 2, 4000, ["numpy"]
    for size in options.sizes:
        arguments = [*([str(options.text)] if options.text else []), "--size", size]
        arguments += ["--characters", str(options.characters), "--threads", str(options.threads)]
        participants = [
            Participant(f"{kind} {name}", "benchmarks.evaluation", arguments, options.threads)
            for name in options.backends
            for kind in ("training", "evaluation")
        ]
        try:
            take_turns(participants, options.rounds)
        finally:
            for participant in participants:
                participant.close()
        command = command_line("evaluation", options.text)
        values = measured(participants, PEERS)
        show(
            Result(
                f"evaluation-{size}", f"Evaluation {size}", "characters/s", command, values, options.threads
            ),
            options,
        )


if __name__ == "__main__":
    main()
