"""Megabytes of text per second that are read and encoded, and how much memory that takes.

python -m benchmarks encoding --megabytes 1000

The text is the built-in one again and again, in a file that is written first and removed at the end.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.arguments import positive_integer
from benchmarks.cases import DataConfig, open_corpus
from benchmarks.results import Measured, Result, add_options, command_line, show
from charkit.machine import peak_bytes

VOCABULARIES = ("char", "byte")
MEGABYTE = 10**6


def write_text(path: Path, megabytes: int) -> None:
    """A file of about this size: the built-in text, repeated."""
    with open_corpus(DataConfig()) as corpus:
        text = corpus.vocabulary.decode(corpus.symbols).encode()
    with path.open("wb") as file:
        for _ in range(max(1, megabytes * MEGABYTE // len(text))):
            file.write(text)


def work(path: str, vocabulary: str) -> None:
    """In the worker process: encodes the text, and prints the seconds and the largest resident memory in bytes."""
    before = peak_bytes()
    began = time.perf_counter()
    with open_corpus(DataConfig(text=(path,), vocabulary=vocabulary)):
        seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "bytes": peak_bytes() - before}))


def main() -> None:
    """Measures both vocabularies, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=positive_integer, default=1000)
    parser.add_argument("--participant", nargs=2, help=argparse.SUPPRESS)
    add_options(parser, rounds=3)
    options = parser.parse_args()
    if options.participant:
        work(*options.participant)
        return
    if options.quick:
        options.megabytes, options.rounds = 5, 1
    values: dict[str, list[list[float]]] = {}
    memory = dict.fromkeys(VOCABULARIES, 0.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        write_text(path, options.megabytes)
        size = path.stat().st_size / MEGABYTE
        for _ in range(options.rounds):
            for vocabulary in VOCABULARIES:
                command = [
                    sys.executable,
                    "-m",
                    "benchmarks.encoding",
                    "--participant",
                    str(path),
                    vocabulary,
                ]
                output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                found = json.loads(output.splitlines()[-1])
                values.setdefault(vocabulary, []).append([size / found["seconds"]])
                memory[vocabulary] = max(memory[vocabulary], found["bytes"] / MEGABYTE)
    results = [Measured(name, rounds) for name, rounds in values.items()]
    more = ", ".join(f"{name} {number:.0f} MB" for name, number in memory.items())
    title = f"Encoding {size:,.0f} MB (memory on top of the program's: {more})"
    show(Result("encoding", title, "MB/s", command_line("encoding"), results, options.threads), options)


if __name__ == "__main__":
    main()
