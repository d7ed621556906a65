"""``toolkit backends``: what is installed, what works, and what to do about what doesn't."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.plugins.discovery import INSTALL_HINT
from charkit.plugins.probe import LIMIT_SECONDS, BackendRow, probe_all
from charkit.plugins.probe import as_json as rows_as_json
from charkit_cli.options import DEFAULT, Json
from charkit_cli.output import print_json, to_user, waiting

EXAMPLES = ("toolkit backends", "toolkit backends --json")


def command(
    limit: Annotated[
        float,
        typer.Option(
            "--limit",
            metavar="SECONDS",
            min=1,
            help=f"how long each may take to import {DEFAULT.format(f'{LIMIT_SECONDS:g}')}",
            show_default=False,
        ),
    ] = LIMIT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tries every installed backend in a process of its own and lists what came of it."""
    with waiting("trying backends") as progress:
        rows = probe_all(
            limit_seconds=limit,
            on_row=lambda done, total: progress("trying backends", done / total),
        )
    if as_json:
        print_json({"backends": rows_as_json(rows)})
        return
    console = to_user()
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("distribution", overflow="fold")
    table.add_column("devices")
    table.add_column("precisions")
    for row in rows:
        table.add_row(
            row.name,
            Text(row.status, style="green" if row.status == "usable" else "red"),
            f"{row.distribution} {row.version}",
            ", ".join(row.devices) or "-",
            ", ".join(row.precisions) or "-",
        )
    console.print(table)
    for row in rows:
        if row.status == "usable":
            console.print(f"{row.name}: {row.summary}" if row.summary else row.name, markup=False)
            console.print(f"  verified with {row.verified or '-'}", markup=False)
    for line in _capabilities(rows):
        console.print(line, markup=False)
    for line in dict.fromkeys(
        _told(row) for row in rows if row.reason
    ):  # both sides of a conflict say the same
        console.print(line, markup=False)
    console.print(INSTALL_HINT, markup=False, style="dim")


def _capabilities(rows: list[BackendRow]) -> list[str]:
    """A line for each capability: the usable backends that declare it, and those that don't."""
    usable = [row for row in rows if row.status == "usable"]
    lines = []
    for capability in sorted({one for row in usable for one in row.capabilities}):
        having, lacking = (
            ", ".join(row.name for row in usable if (capability in row.capabilities) is has)
            for has in (True, False)
        )
        lines.append(f"capability {capability}: {having}" + (f"; not {lacking}" if lacking else ""))
    return lines


def _told(row: BackendRow) -> str:
    return row.reason if row.reason.startswith("backend ") else f"backend {row.name!r}: {row.reason}"
