"""A sweep on the terminal: its best trials, and the commands to type next."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from charkit.system.command_lines import quoted_path
from charkit_sweep import SweepResult, SweepTrial
from charkit_sweep.commands import command_to_resume_sweep
from charkit_sweep.keys import as_one

#: Trials that are shown.
ROWS = 10
NOTHING = "-"
_REASONS = {
    "done": "all trials are done",
    "time_limit": "--time-limit was reached; all trials are saved",
    "interrupted": "interrupted; all trials are saved",
    "terminated": "received SIGTERM; all trials are saved",
    "hung_up": "the terminal was closed; all trials are saved",
}


def print_sweep(console: Console, result: SweepResult) -> None:
    """Prints the table, how the sweep ended, and what can be done next."""
    console.print(_table(result))
    left_out = len(result.trials) - ROWS
    if left_out > 0:
        console.print(f"{left_out:,} more in the report", style="dim")
    failed = [trial for trial in result.trials if trial.status == "failed"]
    if failed:
        console.print(
            f"trials failed: {len(failed)}; error in trial {failed[0].number}: {failed[0].reason}",
            style="yellow",
            markup=False,
        )
    lines = [f"{result.folder}: {_REASONS[result.stopped_because]}"]
    if result.stopped_because != "done":
        lines.append(f"to resume the sweep: {command_to_resume_sweep(result.folder)}")
    if result.best is not None:
        best = result.best
        lines.append(f"best: trial {best.number}, loss {best.loss:.4f}, in {best.run}")
        lines.append(f"next: toolkit sample {quoted_path(best.run)}")
        lines.append(f"to train the best trial again in full: {result.command}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)  # a command is copied from here


def _table(result: SweepResult) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("trial", justify="right", no_wrap=True)
    axes = list(result.trials[0].values) if result.trials else []
    for axis in axes:
        table.add_column(Text(axis.rpartition(".")[2].replace("_", " ")), justify="right", overflow="fold")
    for name in ("loss", "step", "status"):
        table.add_column(name, justify="right" if name != "status" else "left", no_wrap=True)
    for trial in result.ranked[:ROWS]:
        table.add_row(str(trial.number), *(_value(trial, axis) for axis in axes), *_outcome(trial))
    return table


def _value(trial: SweepTrial, axis: str) -> Text:
    return Text(str(as_one(trial.values[axis])))


def _outcome(trial: SweepTrial) -> tuple[str, str, str]:
    loss = NOTHING if trial.loss is None else f"{trial.loss:.4f}"
    return loss, f"{trial.step:,}", trial.status
