"""``toolkit backends``: what is installed, what works, and what to do about what doesn't."""

from __future__ import annotations

from rich.table import Table

from charkit.plugins import INSTALL_HINT
from charkit.probe import as_json as rows_as_json
from charkit.probe import probe_all
from charkit_cli.options import Json
from charkit_cli.output import print_json, to_user

EXAMPLES = ("toolkit backends", "toolkit backends --json")


def command(as_json: Json = False) -> None:
    """Tries every installed backend in a process of its own and lists what came of it."""
    rows = probe_all()
    if as_json:
        print_json({"backends": rows_as_json(rows)})
        return
    console = to_user()
    table = Table("name", "status", "distribution", "devices", "precisions")
    for row in rows:
        style = "green" if row.status == "usable" else "red"
        table.add_row(
            row.name,
            f"[{style}]{row.status}[/]",
            f"{row.distribution} {row.version}",
            ", ".join(row.devices) or "-",
            ", ".join(row.precisions) or "-",
        )
    console.print(table)
    for row in rows:
        if row.reason:
            console.print(f"{row.name}: {row.reason}", markup=False)
    console.print(f"More: {INSTALL_HINT}.", markup=False, style="dim")
