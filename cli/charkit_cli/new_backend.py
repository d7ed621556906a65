"""``toolkit new-backend``: writes a plugin distribution whose functions are to be filled in, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from charkit.plugins.new_backend import new_backend
from charkit.system.command_lines import quoted
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = ("toolkit new-backend mine", "toolkit new-backend mine --out plugins/charkit-mine")


def command(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="name of the backend: lowercase letters a to z, digits and single underscores, as in my_backend",
        ),
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help=f"directory to create {DEFAULT.format('charkit-NAME')}",
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Writes the folder, whole or not at all, and prints what to do next."""
    made = new_backend(name, folder)
    if as_json:
        print_json(made.as_json())
        return
    console = to_user()
    console.print(f"{made.folder}: {len(made.files)} files", markup=False)
    for path in made.files:
        console.print(f"    {path}", markup=False, style="dim")
    console.print("next:", markup=False)
    for line in (f"pip install -e {_path(made.folder)}", f"toolkit verify --backend {name}"):
        console.print(f"    {line}", markup=False)
    console.print("verify says which function to write next; repeat until every check passes")


def _path(folder: Path) -> str:
    """The folder, written so that pip does not take it for the name of a distribution."""
    text = str(folder)
    return quoted(text if folder.is_absolute() or text.startswith(".") else f"./{text}")
