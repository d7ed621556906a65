"""How fast a backend is beside NumPy, on the terminal: a table, what does not grow, and advice."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from charkit.testing.speed import SizeReport, Speed, SpeedReport
from charkit_cli.terminal_output import short

NOTHING = "-"
#: Processors that are wanted twice, from which on speeds say little.
CONTENTION = 0.3
_LEGEND = (
    "size: layers x units, sequences x time steps per batch; train, sample: characters/s (sample: a single stream); "
    "ratio: speed relative to NumPy; step 1: time of the first step; MB: peak memory of the process"
)


def print_speed(console: Console, report: SpeedReport) -> None:
    """Prints what was measured, without any verdict on what is right."""
    threads = f"{report.threads} thread{'s' if report.threads > 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    console.print(
        Text.assemble(
            (f"{report.backend}: speed", "bold"),
            f" in float32 on {report.device}, {threads}, median of {report.rounds} rounds ({versions})",
        )
    )
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("size", no_wrap=True)
    table.add_column("backend", overflow="fold")
    for name in ("train", "ratio", "sample", "ratio", "step 1", "MB"):
        table.add_column(name, justify="right", no_wrap=True)
    for size in report.sizes:
        _add_rows(table, size)
    console.print(table)
    console.print(_LEGEND, style="dim")
    if report.contended_processors > CONTENTION:
        console.print(
            "other programs kept this machine busy, so the speeds are unreliable; measure again when it is idle",
            style="yellow",
        )
    _print_habits(console, report)
    for advice in report.advice:
        line = Text.assemble((f"{advice.pattern}: ", "bold yellow"), advice.text)
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
    console.print(
        f"only speed was measured; to check correctness: toolkit verify --backend {report.backend}",
        style="dim",
        markup=False,
    )


def _add_rows(table: Table, size: SizeReport) -> None:
    ratios = [_ratio(size.ratio(what)) for what in ("training", "sampling")]
    table.add_row(str(size.size), *_cells(size.backend, *ratios))
    if size.baseline is not None:
        table.add_row("", *_cells(size.baseline, NOTHING, NOTHING), style="dim")


def _cells(speed: Speed, training_ratio: str, sampling_ratio: str) -> list[str]:
    return [
        speed.backend,
        short(speed.median("training")),
        training_ratio,
        short(speed.median("sampling")),
        sampling_ratio,
        f"{speed.first_step_seconds:.1f}s",
        f"{speed.peak_memory_bytes / 1e6:,.0f}",
    ]


def _ratio(ratio: float | None) -> str:
    return NOTHING if ratio is None else f"{ratio:.2f}"


def _print_habits(console: Console, report: SpeedReport) -> None:
    habits = report.habits
    memory = habits.growth_bytes / 1e3
    console.print(
        f"over {len(habits.step_seconds)} steps at {habits.size}: memory changes by {memory:+.1f} kB per step, "
        f"and a step takes {habits.slowdown:.2f} times as long at the end as at the beginning",
        markup=False,
    )
    if not report.advice:
        console.print("no known slow pattern was found", style="green")
