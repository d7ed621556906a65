"""Training speed against what users of each framework would write: same text, shapes and threads, in turns.

python -m benchmarks training anna.txt
python -m benchmarks training anna.txt --sizes 2x128 --dropout 0.5
python -m benchmarks training --quick
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import find_spec

from benchmarks.arguments import dropout_share, input_file, positive_number
from benchmarks.cases import SIZES, batches_forever, corpus_of, step_function, training_flops
from benchmarks.machine_limit import measure_limit
from benchmarks.results import Result, add_options, command_line, measured, show
from benchmarks.turns import Participant, answer_orders, take_turns

#: What each participant is measured against: the plain torch.nn.LSTM loop, or Keras on the same framework.
PEERS = {
    "charkit numpy": "plain torch",
    "charkit numpy numba": "plain torch",
    "charkit torch": "plain torch",
    "charkit tensorflow": "keras tensorflow",
    "charkit jax": "keras jax",
    "charkit torch bfloat16": "plain torch bfloat16",
    "charkit tensorflow bfloat16": "plain torch bfloat16",
    "charkit jax bfloat16": "plain torch bfloat16",
    "compiled torch": "plain torch",
    "plain jax": "keras jax",
}
#: A participant that can only be compared where nothing is dropped.
WITHOUT_DROPOUT = "plain jax"
SECONDS_PER_TURN = 3.0
#: Processes of a participant whose speed differs from process to process.
PROCESSES = {"plain torch": 3, "plain torch bfloat16": 2}


def work(name: str, options: argparse.Namespace) -> None:
    """In the worker process: trains for some seconds on each request."""
    size = SIZES[options.size]
    with corpus_of(options) as corpus:
        stream = batches_forever(corpus, size)
        step = step_function(name, options, corpus.vocabulary.size)

        def train(seconds: float) -> dict[str, float]:
            began, count = time.perf_counter(), 0
            while count < 3 or time.perf_counter() - began < seconds:
                step(*next(stream))
                count += 1
            return {"speed": count * size.batch_symbols / (time.perf_counter() - began)}

        answer_orders(lambda: train(options.seconds), lambda: train(options.seconds / 3))


def main() -> None:
    """Measures each size, and prints a table for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?", type=input_file, help="a text file [default: the built-in text]")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["2x128", "2x512"])
    parser.add_argument("--dropout", type=dropout_share, default=0.0)
    parser.add_argument("--participants", nargs="+", choices=[*PEERS, *PEERS.values()], metavar="NAME")
    parser.add_argument(
        "--seconds", type=positive_number, default=SECONDS_PER_TURN, help="of a turn [default: 3]"
    )
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    parser.add_argument("--size", help=argparse.SUPPRESS)
    add_options(parser, rounds=7)
    options = parser.parse_args()
    if options.participant:
        work(options.participant, options)
        return
    if options.dropout and WITHOUT_DROPOUT in (options.participants or ()):
        parser.error(
            f"{WITHOUT_DROPOUT} has no dropout; leave it out of --participants, or leave out --dropout"
        )
    if options.quick:
        options.sizes, options.rounds, options.seconds = ["tiny"], 2, 0.1
        options.participants = options.participants or ["plain torch", "charkit numpy", "charkit torch"]
    names = options.participants or [name for name in PEERS if "jax bfloat16" not in name and _can_run(name)]
    if options.dropout and WITHOUT_DROPOUT in names:
        print(f"{WITHOUT_DROPOUT} is left out: it has no dropout", file=sys.stderr)
        names.remove(WITHOUT_DROPOUT)
    names = list(dict.fromkeys([*(PEERS[name] for name in names if name in PEERS), *names]))
    for size in options.sizes:
        _measure(size, names, options)


def _can_run(name: str) -> bool:
    """False for what needs Numba where it isn't installed: the only participant that needs more than its framework."""
    return not name.endswith("numba") or find_spec("numba") is not None


def _measure(size: str, names: list[str], options: argparse.Namespace) -> None:
    arguments = [*([str(options.text)] if options.text else []), "--size", size]
    arguments += ["--dropout", str(options.dropout), "--seconds", str(options.seconds)]
    arguments += ["--threads", str(options.threads)]
    with corpus_of(options) as corpus:
        flops = training_flops(SIZES[size], corpus.vocabulary.size)
    before = measure_limit(size, options.threads)
    participants = [
        Participant(
            name,
            "benchmarks.training",
            arguments,
            options.threads,
            1 if options.quick else PROCESSES.get(name, 1),
        )
        for name in names
    ]
    try:
        take_turns(participants, options.rounds)
    finally:
        for participant in participants:
            participant.close()
    after = measure_limit(size, options.threads)
    limit = {name: 1e9 * max(before[name], after[name]) / flops for name in before}
    shape = SIZES[size]
    title = f"Training {size}, batches of {shape.batch_size} x {shape.num_steps}"
    title += f", dropout {options.dropout:g}" if options.dropout else ""
    name = f"training-{size}" + (f"-dropout-{options.dropout:g}" if options.dropout else "")
    show(
        Result(
            name,
            title,
            "characters/s",
            command_line("training", options.text),
            measured(participants, PEERS),
            options.threads,
            limit,
        ),
        options,
    )


if __name__ == "__main__":
    main()
