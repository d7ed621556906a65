"""``toolkit runs``: the runs in a directory, damaged ones included."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.runs.listing import ListedRuns, RunOrder, cells_of, list_runs
from charkit.runs.run import RUNS_FOLDER
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = ("toolkit runs", "toolkit runs --sort loss", "toolkit runs experiments/ --sort size --reverse")
#: Columns and their alignment; text is what shortens first.
_NUMBERS = ("size", "steps", "best loss")


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
            help=f"{', '.join(get_args(RunOrder))} {DEFAULT.format('saved')}",
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
        console.print(f"no runs in {str(directory)!r}; train one with: toolkit train", markup=False)
        return
    console.print(_table(found))
    for run in found:
        if run.problem:
            console.print(Text(f"{run.name} is damaged: {run.problem}", style="red"))
    if any(run.problem for run in found):
        console.print("check a run with: toolkit check RUN", markup=False, style="dim")


def _table(found: ListedRuns) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("name", "text", "size", "backend", "steps", "best loss", "saved"):
        table.add_column(
            name,
            justify="right" if name in _NUMBERS else "left",
            no_wrap=name != "name",
            overflow="ellipsis" if name == "text" else "fold",
        )
    for run in found:
        cells = [Text(cell) for cell in cells_of(run)]
        if run.problem:
            cells[1 if run.text is None else -1] = Text("damaged", style="red")
        table.add_row(*cells)
    return table
