"""Two commits of charkit in turns: is one slower, beyond doubt?

python -m benchmarks commits v0.1.0            # against the working tree
python -m benchmarks commits main~5 main --backends numpy

Each commit is checked out beside the sources. In every round both work once, for about a second. A commit is called
slower only if the confidence interval of the median ratio lies below 0.98; then the exit status is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import comb
from pathlib import Path

from benchmarks.arguments import positive_integer
from benchmarks.results import Measured, Result, add_options, command_line, show
from benchmarks.turns import Participant

ROOT = Path(__file__).parent.parent
BACKENDS = ("numpy", "torch", "tensorflow", "jax")
#: Where the packages of a checkout lie.
SOURCES = ("core", "cli", "comparison", "formats", "pages", "backends/numpy", "backends/torch")
SOURCES += ("backends/tensorflow", "backends/jax")
CONFIDENCE = 0.95
#: Ratios closer to 1 than this are no difference.
TOLERANCE = 0.02


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """The sources of a commit in a folder of their own; those of the working tree for no commit."""
    if not commit:
        yield ROOT
        return
    with tempfile.TemporaryDirectory(prefix="charkit-commit-") as folder:
        path = Path(folder) / "sources"
        add = ["git", "-C", str(ROOT), "worktree", "add", "--quiet", "--detach", str(path), commit]
        if subprocess.run(add, check=False).returncode:
            raise SystemExit(f"{commit!r} is no commit of this repository")
        try:
            yield path
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "--force", str(path)], check=True)


def python_path(sources: Path) -> str:
    """PYTHONPATH that prefers the packages of a checkout to those that are installed."""
    return os.pathsep.join(str(sources / part) for part in SOURCES if (sources / part).is_dir())


def interval(values: list[float]) -> tuple[float, float]:
    """A confidence interval of the median from the order of the values alone, whatever their distribution.

    With fewer than six values, the interval is unbounded.
    """
    ordered, count = sorted(values), len(values)
    outside, cut = 2 * 0.5**count, 0
    if outside > 1 - CONFIDENCE:
        return 0.0, float("inf")
    while cut + 1 < count / 2 and outside + 2 * comb(count, cut + 1) * 0.5**count <= 1 - CONFIDENCE:
        cut += 1
        outside += 2 * comb(count, cut) * 0.5**count
    return ordered[cut], ordered[count - 1 - cut]


def verdict(low: float, high: float) -> str:
    """What the interval of the ratio of new to old says."""
    if high < 1 - TOLERANCE:
        return "slower"
    if low > 1 + TOLERANCE:
        return "faster"
    return "no difference beyond doubt"


def main() -> None:
    """Measures training and evaluation of each backend, and exits with 1 if one is slower."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old")
    parser.add_argument("new", nargs="?", default="", help="[default: the working tree]")
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=["numpy", "torch"])
    parser.add_argument(
        "--characters", type=positive_integer, default=150_000, help="to score in a turn [default: 150000]"
    )
    add_options(parser, rounds=15)
    options = parser.parse_args()
    size = "2x128"
    if options.quick:
        size, options.rounds, options.characters, options.backends = "tiny", 3, 3000, ["numpy"]
    arguments = ["--size", size, "--characters", str(options.characters), "--threads", str(options.threads)]
    names = [f"{kind} {backend}" for kind in ("training", "evaluation") for backend in options.backends]
    slower = False
    values = []
    with checkout(options.old) as old, checkout(options.new) as new:
        for name in names:
            before, after = _in_turns(name, (old, new), arguments, options)
            values += [Measured(f"{name}, old", before), Measured(f"{name}, new", after, f"{name}, old")]
            low, high = interval([b[0] / a[0] for a, b in zip(before, after, strict=True)])
            said = verdict(low, high)
            slower = slower or said == "slower"
            print(f"{name}: {said} (new to old: {low:.3f} to {high:.3f})", flush=True)
    title = f"{options.new or 'the working tree'} against {options.old}"
    show(
        Result("commits", title, "characters/s", command_line("commits"), values, options.threads),
        options,
    )
    sys.exit(int(slower))


def _in_turns(
    name: str, sources: tuple[Path, Path], arguments: list[str], options: argparse.Namespace
) -> tuple[list[list[float]], list[list[float]]]:
    participants = [
        Participant(
            name,
            "benchmarks.evaluation",
            arguments,
            options.threads,
            environment={"PYTHONPATH": python_path(path)},
        )
        for path in sources
    ]
    values: tuple[list[list[float]], list[list[float]]] = ([], [])
    try:
        for participant in participants:
            participant.work("warm")
        for number in range(options.rounds):
            order = (0, 1) if number % 2 == 0 else (1, 0)
            for index in order:
                values[index].append([participants[index].work("go")[0]["speed"]])
    finally:
        for participant in participants:
            participant.close()
    return values


if __name__ == "__main__":
    main()
