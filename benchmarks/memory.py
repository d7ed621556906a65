"""Peak memory in training: charkit on each framework against the plainest loop on it.

    python benchmarks/memory.py anna.txt --size 2x512

Each participant trains a few steps in a process of its own, and its largest resident memory is read at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from training_speed import SIZES, batches_forever, step_function
from turns import machine

from charkit.config import DataConfig
from charkit.machine import peak_bytes
from charkit.text.batches import Batches
from charkit.text.corpus import open_corpus

#: The plainest loop of each framework; NumPy is its own.
PEERS = {"charkit torch": "plain torch", "charkit tensorflow": "keras tensorflow", "charkit jax": "plain jax"}
MEBIBYTE = 2**20


def train(name: str, options: argparse.Namespace) -> None:
    """In the worker process: trains, and prints its largest resident memory in bytes."""
    _, _, batch, steps = SIZES[options.size]
    with open_corpus(DataConfig(text=(options.text,))) as corpus:
        stream = batches_forever(Batches(corpus.symbols, batch, steps, stop=corpus.split("train")[1]))
        step = step_function(name, options, corpus.vocabulary.size)
        for _ in range(options.steps):
            step(*next(stream))
    print(json.dumps({"bytes": peak_bytes()}))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text")
    parser.add_argument("--size", default="2x512", choices=SIZES)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--participant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.dropout, options.precision = 0.0, "float32"
    if options.participant:
        train(options.participant, options)
        return
    print(f"{machine()}; {options.threads} threads, {options.size}, {options.steps} steps\n")
    print("| participant | peak memory, MiB | of its peer |\n|---|---|---|")
    peaks: dict[str, float] = {}
    for name in ("charkit numpy", *(one for pair in PEERS.items() for one in pair[::-1])):
        command = [sys.executable, str(Path(__file__)), options.text, "--participant", name]
        command += ["--size", options.size, "--steps", str(options.steps), "--threads", str(options.threads)]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        peaks[name] = json.loads(output.splitlines()[-1])["bytes"] / MEBIBYTE
        ratio = f"{peaks[name] / peaks[PEERS[name]]:.2f} of {PEERS[name]}" if name in PEERS else "-"
        print(f"| {name} | {peaks[name]:,.0f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
