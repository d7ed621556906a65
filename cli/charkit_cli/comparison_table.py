"""A comparison on the terminal: a short table, and the verdict in words."""

from __future__ import annotations

from statistics import median

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charkit.comparison.report import Outcome, Report
from charkit_cli.output import printable, short

MEBIBYTE = 2**20


def tell(console: Console, report: Report) -> None:
    """Prints the table and the verdict."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for name in ("train", "ratio", "sample", "step 1", "memory", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    fastest = max((speed for one in report.variants if (speed := training_speed(one))), default=None)
    for one in report.variants:
        table.add_row(Text(printable(one.label)), *_cells(one, fastest))
    console.print(table)
    console.print("train, sample: characters per second; ratio: to the fastest; memory: MiB", style="dim")
    for one in report.variants:
        if one.status == "failed":
            console.print(Text.assemble((f"{one.label}: ", "red"), printable(one.reason)))
    style = "bold green" if report.agree and not report.partial else "bold red"
    console.print(Text(printable(report.verdict), style=style))


def training_speed(outcome: Outcome) -> float | None:
    """Characters per second, the median of the rounds."""
    speeds = [one.characters_per_second for one in outcome.rounds if one.characters_per_second]
    return median(speeds) if speeds else None


def _cells(outcome: Outcome, fastest: float | None) -> list[str]:
    speed = training_speed(outcome)
    sampling = [one.sampling_characters_per_second for one in outcome.rounds]
    drawn = [one for one in sampling if one]
    return [
        short(speed) if speed else "-",
        f"{speed / fastest:.2f}" if speed and fastest else "-",
        short(median(drawn)) if drawn else "-",
        f"{outcome.first_step_seconds:.2f}s" if outcome.first_step_seconds is not None else "-",
        f"{outcome.peak_memory_bytes / MEBIBYTE:,.0f}" if outcome.peak_memory_bytes else "-",
        f"{outcome.losses[-1]:.4f}" if outcome.losses else "-",
    ]
