"""Whether any number of workers gives the same bits: SHA-256 of weights, moments and state after 60 steps.

    python -m benchmarks worker-bits                                      # every backend, local workers and Ray
    python -m benchmarks worker-bits --backends numpy torch --engines local --counts 1 2 4 8

2x32, dropout 0.3, batches of 16 x 20 in 8 shards, one thread. Prints a Markdown table with a row for each backend and
precision, and ends with status 1 where one has two fingerprints.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import charkit
from benchmarks.arguments import positive_integer
from charkit.runs.run import Run

STEPS = 60
#: Each backend with its precisions, and with the numbers of workers in float32; other precisions are tried locally.
BACKENDS = {
    "numpy": (("float32", "float64"), (1, 2, 4, 8)),
    "torch": (("float32", "float64", "bfloat16"), (1, 2, 4, 8)),
    "tensorflow": (("float32",), (1, 2)),
    "jax": (("float32",), (1, 2)),
}


def fingerprint(run: Path) -> str:
    """SHA-256 of everything in the last checkpoint that a number of workers could change."""
    found = hashlib.sha256()
    for name, array in sorted(Run.open(run).checkpoint("latest")[0].snapshot.arrays().items()):
        found.update(name.encode())
        found.update(array.tobytes())
    return found.hexdigest()


def train(backend: str, precision: str, engine: str, count: int) -> str:
    """The fingerprint of a run on so many workers; 0 is this process alone."""
    on = {"workers": count, "engine": engine} if count else {}
    with TemporaryDirectory() as folder:
        result = charkit.train(
            run=Path(folder, "run"),
            recipe="classic",
            backend=backend,
            precision=precision,
            lstm_size=32,
            num_layers=2,
            dropout=0.3,
            batch_size=16,
            num_steps=20,
            shards=8,
            max_steps=STEPS,
            sample_length=0,
            threads=1,
            **on,
        )
        return fingerprint(result.run)


def participant(backend: str, precision: str, engines: Sequence[str], counts: Sequence[int]) -> None:
    """In a process of its own, since two frameworks in one can crash: prints one line of JSON for each run."""
    for engine, count in [("alone", 0), *((engine, count) for engine in engines for count in counts)]:
        print(json.dumps([engine, count, train(backend, precision, engine, count)]), flush=True)


def row(backend: str, precision: str, engines: Sequence[str], counts: Sequence[int]) -> tuple[str, bool]:
    """A row of the table, and whether all fingerprints are one."""
    command = [
        sys.executable,
        __file__,
        "--participant",
        precision,
        "--backends",
        backend,
        "--engines",
        *engines,
    ]
    answer = subprocess.run(
        [*command, "--counts", *map(str, counts)], stdout=subprocess.PIPE, text=True, check=True
    )
    results = [json.loads(line) for line in answer.stdout.splitlines() if line.startswith("[")]
    found: dict[str, list[str]] = {}
    for engine, count, digest in results:
        found.setdefault(digest, []).append(f"{engine} {count}" if count else engine)
    cells = [
        ", ".join(str(count) for engine, count, _ in results if engine == wanted)
        for wanted in ("local", "ray")
    ]
    digests = "; ".join(
        f"{digest}" + (f" ({', '.join(who)})" if len(found) > 1 else "") for digest, who in found.items()
    )
    return f"| {backend}, {precision} | {cells[0] or '-'} | {cells[1] or '-'} | `{digests}` |", len(
        found
    ) == 1


def main() -> None:
    """Trains every run and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backends", nargs="+", default=list(BACKENDS))
    parser.add_argument("--engines", nargs="+", default=["local", "ray"])
    parser.add_argument("--counts", nargs="+", type=positive_integer, help="numbers of workers")
    parser.add_argument("--participant", metavar="PRECISION", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.participant:
        participant(options.backends[0], options.participant, options.engines, options.counts)
        return
    print("| backend, precision | local workers | workers on Ray | SHA-256 |\n|---|---|---|---|")
    alike = True
    for backend in options.backends:
        precisions, counts = BACKENDS[backend]
        for precision in precisions:
            engines = (
                options.engines if precision == "float32" else [e for e in options.engines if e == "local"]
            )
            line, same = row(backend, precision, engines, options.counts or counts)
            print(line, flush=True)
            alike &= same
    sys.exit(0 if alike else 1)


if __name__ == "__main__":
    main()
