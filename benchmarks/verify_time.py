"""Seconds that ``toolkit verify`` takes on each backend.

python -m benchmarks verify-time
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.results import Measured, Result, add_options, command_line, show
from benchmarks.startup import TOOLKIT, seconds_to_end

BACKENDS = ("numpy", "torch", "tensorflow", "jax")


def main() -> None:
    """Measures every backend, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    add_options(parser, rounds=3)
    options = parser.parse_args()
    if options.quick:
        options.backends, options.rounds = ["numpy"], 1
    threads = ["--threads", str(options.threads)]
    values: dict[str, list[list[float]]] = {name: [] for name in options.backends}
    for number in range(options.rounds):
        for name, rounds in values.items():
            rounds.append([seconds_to_end([*TOOLKIT, "verify", "--backend", name, *threads])])
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
    results = [Measured(name, rounds) for name, rounds in values.items()]
    command = command_line("verify-time")
    show(Result("verify-time", "toolkit verify", "seconds", command, results, options.threads), options)


if __name__ == "__main__":
    main()
