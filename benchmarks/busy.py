"""Training, evaluation and sampling on an idle machine and beside another program that keeps one core busy.

python -m benchmarks busy

Run it on a machine on which nothing else runs. In every round each participant works once without and once with the
other program, which computes in a loop and never waits.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from benchmarks.arguments import positive_integer
from benchmarks.results import Measured, Result, add_options, command_line, show
from benchmarks.turns import Participant

BACKENDS = ("numpy", "torch", "tensorflow", "jax")
_EVALUATION, _SAMPLING = "benchmarks.evaluation", "benchmarks.sampling"
_OTHER_PROGRAM = "while True: pass"


def main() -> None:
    """Measures every backend, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument(
        "--characters", type=positive_integer, default=200_000, help="to score in a turn [default: 200000]"
    )
    add_options(parser, rounds=5)
    options = parser.parse_args()
    size = "2x128"
    if options.quick:
        size, options.rounds, options.characters, options.backends = "tiny", 1, 3000, ["numpy"]
    sizes = ["--size", size, "--characters"]
    values = []
    for name, one in _cases(options.backends, options.threads).items():
        module, participant, threads = one
        characters = options.characters if module == _EVALUATION else max(1, options.characters // 200)
        arguments = [*sizes, str(characters), "--threads", str(threads)]
        values += _calm_and_busy(name, Participant(participant, module, arguments, threads), options.rounds)
    title, command = f"Beside a busy program, {size}", command_line("busy")
    show(Result("busy", title, "characters/s", command, values, options.threads), options)


def _cases(backends: list[str], threads: int) -> dict[str, tuple[str, str, int]]:
    """What is measured: the benchmark that does it, its participant, and the number of threads."""
    cases = {
        f"{kind} {backend}": (_EVALUATION, f"{kind} {backend}", threads)
        for kind in ("training", "evaluation")
        for backend in backends
    }
    cases |= {f"sampling {backend}": (_SAMPLING, f"charkit {backend}", threads) for backend in backends}
    if "numpy" in backends:
        cases["evaluation numpy, 1 thread"] = (_EVALUATION, "evaluation numpy", 1)
    return cases


def _calm_and_busy(name: str, participant: Participant, rounds: int) -> list[Measured]:
    calm, busy = [], []
    try:
        participant.work("warm")
        for _ in range(rounds):
            calm.append([participant.work("go")[0]["speed"]])
            with subprocess.Popen([sys.executable, "-c", _OTHER_PROGRAM]) as other:
                try:
                    busy.append([participant.work("go")[0]["speed"]])
                finally:
                    other.kill()
    finally:
        participant.close()
    return [Measured(name, calm), Measured(f"{name}, busy", busy, peer=name)]


if __name__ == "__main__":
    main()
