"""A comparison on the terminal: a short table, and the verdict in words."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charkit_cli.message_translation import translate
from charkit_cli.terminal_output import short
from charkit_comparison.page.descriptions import contention_notice
from charkit_comparison.page.view import ReportView
from charkit_comparison.report import ComparisonReport
from charkit_comparison.report_parts import Examination, Outcome
from charkit_comparison.speeds import VariantSpeed

MEGABYTE = 1e6
NOTHING = "-"
_LEGEND = (
    "correct: examined steps that match the float64 reference; train, sample: characters/s; time: training time "
    "relative to the fastest (median of the rounds); step 1: time of the first step, including compilation; memory: "
    "peak until the end of the first round, MB; loss: at the last step"
)


def print_comparison(console: Console, report: ComparisonReport) -> None:
    """Prints the table and the verdict."""
    view = ReportView(report)
    console.print(_table(view))
    console.print(_LEGEND, style="dim")
    for speedup in view.speeds.speedups:
        backend, own = view.variant(speedup.backend.label), view.variant(speedup.own.label)
        line = f"{backend.label} trains {speedup.times_as_fast:.2f} times as fast as {own.label}"
        console.print(line, markup=False)
    if contention := contention_notice(view):
        console.print(contention, style="yellow", markup=False)
    console.print()
    color = {"yes": "bold" if report.partial else "bold green", "no": "bold red", "none": "bold"}
    console.print(Text(translate(report.verdict), style=color[view.answer]))


def _table(view: ReportView) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("variant", overflow="fold")
    for name in ("correct", "train", "time", "sample", "step 1", "memory", "loss"):
        table.add_column(name, justify="right", no_wrap=True)
    speeds = view.speeds
    examined = {one.variant: one for one in view.report.examinations}
    for one, trained, sampled in zip(view.variants, speeds.training, speeds.sampling, strict=True):
        right = _right(examined.get(one.outcome.label))
        table.add_row(Text(one.label), right, *_cells(one.outcome, trained, sampled))
    return table


def _right(examination: Examination | None) -> str:
    """How many of the examined steps match, or that the examination failed."""
    if examination is None:
        return NOTHING
    return "failed" if examination.reason else f"{examination.matching}/{len(examination.steps)}"


def _cells(outcome: Outcome, trained: VariantSpeed, sampled: VariantSpeed) -> list[str]:
    first, peak = outcome.first_step_seconds, outcome.peak_memory_bytes
    return [
        short(trained.median) if trained.median else NOTHING,
        NOTHING if trained.times_as_long is None else f"{trained.times_as_long:.2f}x",
        short(sampled.median) if sampled.median else NOTHING,
        NOTHING if first is None else f"{first:.2f}s",
        NOTHING if peak is None else f"{peak / MEGABYTE:,.0f}",
        f"{outcome.losses[-1]:.4f}" if outcome.losses else NOTHING,
    ]
