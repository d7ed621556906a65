"""Peak memory in training: charkit on each framework against the plainest loop on it.

    python -m benchmarks memory anna.txt --size 2x512

Each participant trains a few steps in a process of its own, and its largest resident memory is read at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

from benchmarks.arguments import input_file, positive_integer
from benchmarks.cases import SIZES, batches_forever, corpus_of, step_function
from benchmarks.results import Measured, Result, add_options, command_line, show
from charkit.machine import peak_bytes

#: The plainest loop of each framework; NumPy is its own.
PEERS = {"charkit torch": "plain torch", "charkit tensorflow": "keras tensorflow", "charkit jax": "plain jax"}
MEBIBYTE = 2**20


def train(options: argparse.Namespace) -> None:
    """In the worker process: trains, and prints its largest resident memory in bytes."""
    with corpus_of(options) as corpus:
        stream = batches_forever(corpus, SIZES[options.size])
        step = step_function(options.participant, options, corpus.vocabulary.size)
        for _ in range(options.steps):
            step(*next(stream))
    print(json.dumps({"bytes": peak_bytes()}))


def main() -> None:
    """Measures every backend and its peer, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="?", type=input_file, help="a text file [default: the built-in text]")
    parser.add_argument("--size", default="2x512", choices=SIZES)
    parser.add_argument("--steps", type=positive_integer, default=8)
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    add_options(parser, rounds=1)
    options = parser.parse_args()
    options.dropout = 0.0
    if options.participant:
        train(options)
        return
    names = ["charkit numpy", *(one for pair in PEERS.items() for one in pair[::-1])]
    if options.quick:
        options.size, options.steps, names = "tiny", 2, names[:1]
    values = []
    for name in names:
        command = [sys.executable, "-m", "benchmarks.memory", *([str(options.text)] if options.text else [])]
        command += ["--participant", name, "--size", options.size]
        command += ["--steps", str(options.steps), "--threads", str(options.threads)]
        peaks = []
        for _ in range(options.rounds):
            output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            peaks.append([json.loads(output.splitlines()[-1])["bytes"] / MEBIBYTE])
        values.append(Measured(name, peaks, PEERS.get(name, "")))
    title = f"Peak memory in training {options.size}, {options.steps} steps"
    again = command_line("memory", options.text)
    show(Result(f"memory-{options.size}", title, "MiB", again, values, options.threads), options)


if __name__ == "__main__":
    main()
