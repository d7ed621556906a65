"""``toolkit recipes``: what recipes there are, what each sets, and what was measured of it."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from charkit.recipe_listing import Recipes, measured, recipes, settings_in_short
from charkit_cli.options import Json
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = ("toolkit recipes", "toolkit recipes --json")


def command(as_json: Json = False) -> None:
    """Lists the recipes that come with charkit."""
    found = recipes()
    if as_json:
        print_json({"recipes": found.as_json()})
        return
    console = to_user()
    console.print(_table(found))
    console.print("to train with one: toolkit train TEXT --recipe NAME", markup=False, style="dim")


def _table(found: Recipes) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_lines=True)
    table.add_column("name", no_wrap=True)
    table.add_column("purpose and settings", ratio=3)
    table.add_column("measured", ratio=2)
    for recipe in found:
        about = Text(f"{recipe.purpose}\n").append(settings_in_short(recipe), style="dim")
        table.add_row(recipe.name, about, Text("\n".join(measured(recipe))))
    return table
