"""Results of a benchmark: every round of every participant, ratios by round, and files of them.

A file is ``results/NAME.json``: what was measured, on what machine, with what versions. The tables of the documentation
are written from these files.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.arguments import positive_integer
from benchmarks.turns import Participant, machine

FOLDER = Path(__file__).parent / "results"
_PACKAGES = ("numpy", "numba", "torch", "tensorflow", "jax", "keras", "flax")


def installed_versions() -> dict[str, str]:
    """The versions of charkit and the frameworks that are installed."""
    found = {"python": ".".join(str(part) for part in sys.version_info[:3])}
    for name in ("charkit", *_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class Measured:
    """One participant: its values ``[round][process]``, and what it is compared with."""

    name: str
    values: list[list[float]]
    peer: str = ""

    @property
    def median(self) -> float:
        """Over all rounds of all processes."""
        return median(value for values in self.values for value in values)

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest."""
        flat = [value for values in self.values for value in values]
        return min(flat), max(flat)


@dataclass(frozen=True)
class Ratio:
    """How one participant compares with another: the ratio of each round, in which both took their turn."""

    median: float
    low: float  # the quartiles
    high: float


@dataclass(frozen=True)
class Result:
    """What one run of a benchmark measured."""

    name: str
    title: str
    unit: str
    command: str
    participants: list[Measured]
    threads: int
    limit: dict[str, float] = field(default_factory=dict)  # the machine's limit in this unit, by precision
    machine: str = field(default_factory=machine)
    versions: dict[str, str] = field(default_factory=installed_versions)
    date: str = field(default_factory=lambda: datetime.now(UTC).date().isoformat())

    def participant(self, name: str) -> Measured | None:
        """The participant of this name, if it took part."""
        return next((one for one in self.participants if one.name == name), None)

    def ratio(self, one: Measured) -> Ratio | None:
        """Of a participant to its peer."""
        peer = self.participant(one.peer)
        return None if peer is None else ratio_of(one, peer)

    def save(self, folder: Path = FOLDER) -> Path:
        """Writes the file, and returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> Result:
        """Reads a file."""
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found["participants"] = [Measured(**one) for one in found["participants"]]
        return cls(**found)


def ratio_of(one: Measured, other: Measured) -> Ratio:
    """The ratios of the rounds, each of the medians over the processes in it."""
    ratios = sorted(
        median(mine) / median(theirs) for mine, theirs in zip(one.values, other.values, strict=True)
    )
    return Ratio(median(ratios), _quantile(ratios, 0.25), _quantile(ratios, 0.75))


def _quantile(ordered: list[float], share: float) -> float:
    """Linearly between the two nearest."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def measured(participants: list[Participant], peers: dict[str, str], key: str = "speed") -> list[Measured]:
    """What the participants answered."""
    return [Measured(one.name, one.values(key), peers.get(one.name, "")) for one in participants]


def table(result: Result) -> str:
    """The result as a Markdown table."""
    limited = bool(result.limit)
    header = ["participant", f"{result.unit}, median", "lowest to highest", "ratio to its peer (quartiles)"]
    header += ["share of the limit"] if limited else []
    rows = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for one in result.participants:
        low, high = one.range
        ratio = result.ratio(one)
        against = (
            "-"
            if ratio is None
            else f"**{ratio.median:.2f}** times {one.peer} ({ratio.low:.2f} to {ratio.high:.2f})"
        )
        cells = [
            one.name,
            number(one.median),
            f"{number(low)} to {number(high)}",
            against,
        ]
        if limited:
            share = one.median / result.limit["bfloat16" if "bfloat16" in one.name else "float32"]
            cells.append(f"{share:.0%}")
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def number(value: float) -> str:
    """Three digits, or whole thousands."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def add_options(parser: argparse.ArgumentParser, rounds: int) -> None:
    """The options that nearly every benchmark has."""
    parser.add_argument(
        "--threads", type=positive_integer, default=2, help="of every participant [default: 2]"
    )
    parser.add_argument("--rounds", type=positive_integer, default=rounds, help=f"[default: {rounds}]")
    add_kind(parser)


def add_kind(parser: argparse.ArgumentParser) -> None:
    """The options for a run that only shows that the benchmark works, and for one that is recorded."""
    either = parser.add_mutually_exclusive_group()  # a tiny run must not replace a recorded result
    either.add_argument("--quick", action="store_true", help="something tiny and one round: does it work?")
    either.add_argument(
        "--save", action="store_true", help="record the result for the documentation's tables"
    )


def command_line(name: str, text: Path | None = None) -> str:
    """The command that was given to the benchmark of this name, to be recorded with what it measured.

    Without ``--rounds`` and ``--save``, which the tables add themselves, and with the text's name for its path.
    """
    added = argparse.ArgumentParser(add_help=False)
    added.add_argument("--rounds")
    added.add_argument("--save", action="store_true")
    _, given = added.parse_known_args(sys.argv[1:])
    words = (text.name if Path(word) == text else word for word in given)
    return shlex.join(["python", "-m", "benchmarks", name, *words])


def show(result: Result, options: argparse.Namespace) -> None:
    """Prints the table, and records the result if that is wanted."""
    print(f"\n{result.title}: {result.machine}; {result.threads} threads\n\n{table(result)}", flush=True)
    if options.save:
        print(f"\nrecorded in {result.save()}", flush=True)
