"""``toolkit backends``: what is installed, what works, and what to do about what doesn't."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.plugins import InstalledBackend, InstalledBackends, backends
from charkit.plugins.failures import printable_line
from charkit.plugins.probe import LIMIT_SECONDS
from charkit_cli.first_party import missing_plugins
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user, waiting

EXAMPLES = ("toolkit backends", "toolkit backends --json")
ImportLimit = Annotated[
    float,
    typer.Option(
        "--limit",
        metavar="SECONDS",
        help=f"time limit for importing each backend (at most 86,400) {DEFAULT.format(f'{LIMIT_SECONDS:g}')}",
        show_default=False,
    ),
]


def command(
    limit_seconds: ImportLimit = LIMIT_SECONDS,
    as_json: Json = False,
) -> None:
    """Tries every installed backend in a process of its own, and lists what was found."""
    with waiting("trying backends") as progress:
        found = backends(
            limit_seconds=limit_seconds, progress=lambda share: progress("trying backends", share)
        )
    if as_json:
        print_json({"backends": found.as_json()})
        return
    console = to_user()
    console.print(_table(found))
    for backend in found.usable:
        console.print(f"{backend.name}: {backend.summary}" if backend.summary else backend.name, markup=False)
        unstated = "doesn't state what it was verified with"
        verified = f"verified with {backend.verified}" if backend.verified else unstated
        console.print(f"  {verified}", markup=False)
    # Both sides of a conflict have the same reason.
    reasons = dict.fromkeys(_reason(backend) for backend in found if backend.reason)
    for line in [*_capabilities(found.usable), *reasons]:
        console.print(line, markup=False)
    for line in missing_plugins(backend.name for backend in found):
        console.print(line, markup=False, style="dim")


def _table(found: InstalledBackends) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", no_wrap=True)
    table.add_column("status", no_wrap=True)
    table.add_column("distribution", overflow="fold")
    table.add_column("devices")
    table.add_column("precisions")
    for backend in found:
        table.add_row(
            Text(printable_line(backend.name)),
            Text(backend.status, style="green" if backend.usable else "red"),
            Text(f"{backend.distribution} {backend.version}"),
            Text(", ".join(backend.devices) or "-"),
            Text(", ".join(backend.precisions) or "-"),
        )
    return table


def _capabilities(usable: InstalledBackends) -> list[str]:
    """A line for each capability: the usable backends that declare it, and those that don't."""
    lines = []
    for capability in sorted({one for backend in usable for one in backend.capabilities}):
        having, lacking = (
            ", ".join(backend.name for backend in usable if (capability in backend.capabilities) is has)
            for has in (True, False)
        )
        lines.append(
            f"capability {capability}: {having}" + (f"; not declared by {lacking}" if lacking else "")
        )
    return lines


def _reason(backend: InstalledBackend) -> str:
    """Why a backend can't be used, and what to do."""
    advice = "; to wait longer, raise --limit" if backend.status == "timed out" else ""
    return f"{backend.explanation}{advice}"
