"""``toolkit runs``: the runs in a directory, damaged ones included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from charkit.runs.identity import identity
from charkit.runs.listing import COLUMNS, ListedRun, ListedRuns, RunOrder, cells_of, list_runs
from charkit.runs.run import RUNS_FOLDER
from charkit.system.command_lines import joined
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = ("toolkit runs", "toolkit runs --sort loss", "toolkit runs experiments/ --sort size --reverse")
#: Columns that are aligned to the right.
_NUMBERS = ("size", "steps", "best loss")
_DAMAGED = "damaged"
#: What shortens on a narrow terminal, to how many characters, and in which order: a text ends in an ellipsis, a heading
#: and a time break between words, and a name goes on in the next line. Before that, times are shortened.
_SHORTENED = {"text": 8, "best loss": 7, "name": 12, "saved": len(_DAMAGED)}
#: What is left out where that is not enough, in this order.
_LEFT_OUT = ("text", "backend", "size", "saved", "steps")


def command(
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help=f"directory that holds runs {DEFAULT.format(RUNS_FOLDER)}", show_default=False
        ),
    ] = RUNS_FOLDER,
    sort: Annotated[
        RunOrder,
        typer.Option(
            "--sort",
            metavar="COLUMN",
            help=f"column to sort by: {', '.join(get_args(RunOrder))}; damaged runs come last "
            + DEFAULT.format("saved"),
            show_default=False,
        ),
    ] = "saved",
    reverse: Annotated[bool, typer.Option("--reverse", help="reverse the order")] = False,
    as_json: Json = False,
) -> None:
    """Lists the runs."""
    found = list_runs(directory, sort=sort, reverse=reverse)
    if as_json:
        print_json({"runs": found.as_json()})
        return
    console = to_user()
    if not found:
        advice = "to train one: toolkit train"
        if identity(directory) is not None:
            above = directory / ".." if directory.name in ("", "..") else directory.parent
            beside = joined(["toolkit", "runs", str(above)])
            advice = f"this directory is itself a run; to list the runs next to it: {beside}"
        console.print(f"no runs in {str(directory)!r}; {advice}", markup=False)
        return
    table, left_out = _table(found, console.width)
    console.print(table)
    if left_out:
        console.print(f"the terminal is too narrow to show: {', '.join(left_out)}", markup=False, style="dim")
    for run in found:
        if run.problem:
            problem = run.problem.removeprefix(f"{str(run.path)!r} is damaged: ")
            console.print(Text(f"{run.name} is damaged: {problem}", style="red"))
    if any(run.problem for run in found):
        console.print("to check a run: toolkit check RUN", markup=False, style="dim")


def _table(found: ListedRuns, wanted: int) -> tuple[Table, tuple[str, ...]]:
    """The runs as a table of at most so many columns of the terminal, and which of its own were left out for that."""
    rows = [dict(zip(COLUMNS, cells_of(run), strict=True)) for run in found]
    needed = _needed_widths(found, rows)
    edges, gap = 2, 3
    if edges + sum(needed.values()) + gap * (len(needed) - 1) > wanted:
        gap = 2
        rows = [row | {"saved": _short_time(run)} for run, row in zip(found, rows, strict=True)]
        needed = _needed_widths(found, rows)
    losses = [row["best loss"] for row in rows]
    shortened = _SHORTENED | {"best loss": max(_SHORTENED["best loss"], *map(cell_len, losses))}
    shortened["saved"] = max(cell_len(word) for row in rows for word in (_DAMAGED, *row["saved"].split()))
    widths = _fitting(needed, wanted - edges, gap, shortened)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, gap - 2))
    for name, width in widths.items():
        table.add_column(name, justify="right" if name in _NUMBERS else "left", width=width, overflow="fold")
    for run, row in zip(found, rows, strict=True):
        cells = {
            name: Text(cell, no_wrap=name == "text", overflow="ellipsis" if name == "text" else "fold")
            for name, cell in row.items()
        }
        if run.problem:
            cells["text" if run.text is None and "text" in widths else "saved"] = Text(_DAMAGED, style="red")
        table.add_row(*(cells[name] for name in widths))
    return table, tuple(name for name in needed if name not in widths)


def _short_time(run: ListedRun) -> str:
    """When the run was saved last: without the year if that is the current one, or else without the time of day."""
    if run.saved is None:
        return "-"
    saved = run.saved.astimezone()
    return f"{saved:%m-%d %H:%M}" if saved.year == datetime.now().year else f"{saved:%Y-%m-%d}"


def _needed_widths(found: ListedRuns, rows: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """How wide each column is where nothing is shortened."""
    widths = {name: max(map(cell_len, (name, *(row[name] for row in rows)))) for name in COLUMNS}
    if any(run.problem for run in found):
        for name in ("text", "saved"):
            widths[name] = max(widths[name], len(_DAMAGED))
    return widths


def _fitting(
    needed: Mapping[str, int], wanted: int, gap: int, shortened: Mapping[str, int]
) -> dict[str, int]:
    """The widths of the columns that fit in so many: some are shortened first, and then some are left out."""
    widths = dict(needed)

    def excess() -> int:
        return sum(widths.values()) + gap * (len(widths) - 1) - wanted

    for name, least in shortened.items():
        widths[name] -= max(0, min(excess(), widths[name] - least))
    for name in _LEFT_OUT:
        if excess() > 0:
            del widths[name]
    for name in reversed(list(shortened)):  # what was left out may have made more room than was needed
        if name in widths:
            widths[name] += max(0, min(-excess(), needed[name] - widths[name]))
    return widths
