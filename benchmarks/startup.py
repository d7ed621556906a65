"""Seconds that a user waits: for --help, and for the first sampled character on each backend.

python -m benchmarks startup

Each is a whole process, from its start to the first output that counts (or its end, for --help).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.results import Measured, Result, add_options, command_line, show

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
TOOLKIT = (sys.executable, "-m", "charkit_cli")


def seconds_to_end(command: Sequence[str]) -> float:
    """How long the process takes."""
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def seconds_to_output(command: Sequence[str]) -> float:
    """How long it takes to the first byte on standard output."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        seconds = time.perf_counter() - began
        process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return seconds


def main() -> None:
    """Measures, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    add_options(parser, rounds=7)
    options = parser.parse_args()
    if options.quick:
        options.backends, options.rounds = ["numpy"], 1
    with tempfile.TemporaryDirectory() as folder:
        run = str(Path(folder) / "run")
        new = [*TOOLKIT, "train", "--recipe", "classic", "--max-steps", "1", "--threads"]
        new += [str(options.threads)]
        subprocess.run([*new, "--run", run], stdout=subprocess.DEVNULL, check=True)
        cases: dict[str, Callable[[], float]] = {
            "toolkit --help": lambda: seconds_to_end([*TOOLKIT, "--help"]),
            "toolkit train --help": lambda: seconds_to_end([*TOOLKIT, "train", "--help"]),
        }
        for backend in options.backends:
            sample = [*TOOLKIT, "sample", run, "--backend", backend, "--length", "40", "--threads"]
            sample += [str(options.threads)]
            cases[f"first character, {backend}"] = lambda command=sample: seconds_to_output(command)
        values: dict[str, list[list[float]]] = {name: [] for name in cases}
        for number in range(options.rounds + 1):  # the first reads files that are not in memory yet
            for name, measure in cases.items():
                seconds = measure()
                if number:
                    values[name].append([seconds])
            print(f"round {number} of {options.rounds}", file=sys.stderr)
    results = [Measured(name, rounds) for name, rounds in values.items()]
    show(
        Result("startup", "Startup", "seconds", command_line("startup"), results, options.threads),
        options,
    )


if __name__ == "__main__":
    main()
