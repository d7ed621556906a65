"""``toolkit new-backend``: writes a plugin distribution whose functions are to be filled in, one by one."""

from __future__ import annotations

import os
import re
import shlex
from importlib.metadata import version
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from charkit.errors import BackendError, ConfigurationError, StorageError
from charkit.hookspecs import API_VERSION
from charkit.plugins import installed
from charkit.runs import file_writing
from charkit.runs.new_folders import new_folder
from charkit_cli.options import DEFAULT, Json
from charkit_cli.terminal_output import print_json, to_user

EXAMPLES = ("toolkit new-backend mine", "toolkit new-backend mine --out plugins/charkit-mine")
#: Where each file of the template goes; all others go into the package.
_DESTINATIONS = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "conformance.yml": ".github/workflows/conformance.yml",
    "test_conformance.py": "tests/test_conformance.py",
}
_TEMPLATE = "backend_template"
_SUFFIX = ".txt"  # keeps tools from treating a template as source


def command(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="name of the backend: a to z, digits, and _"),
    ],
    out: Annotated[
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
    _check_name(name)
    distribution = f"charkit-{name.replace('_', '-')}"
    folder = out or Path(distribution)
    _check_folder(folder)
    contents = _contents(name, distribution)
    _write(folder, contents)
    if as_json:
        print_json({"folder": str(folder), "files": list(contents)})
        return
    console = to_user()
    console.print(f"{folder}: {len(contents)} files", markup=False)
    for path in contents:
        console.print(f"    {path}", markup=False, style="dim")
    console.print("next:", markup=False)
    for line in (f"pip install -e {_path(folder)}", f"toolkit verify --backend {name}"):
        console.print(f"    {line}", markup=False)
    console.print("verify says which function to write next; repeat until every check passes")


def _check_name(name: str) -> None:
    """Raises an error for a name that a package can't have, or that is taken."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or iskeyword(name):
        raise ConfigurationError(
            f"a backend's name must be a Python identifier made up of lowercase letters a to z, digits and single "
            f"underscores, such as my_backend, and not a Python keyword; given {name!r}"
        )
    claims = [plugin for plugin in installed() if plugin.name == name]
    if claims:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
        raise BackendError(f"the name {name!r} is taken by the backend of {owners}; choose another")
    if find_spec(f"charkit_{name}") is not None:
        raise BackendError(
            f"the name {name!r} is taken: the package charkit_{name} is already installed; choose another name"
        )


def _check_folder(folder: Path) -> None:
    """Raises StorageError unless the folder can be made, with its parents."""
    if os.path.lexists(folder):
        raise StorageError(f"{str(folder)!r} already exists; choose another directory with --out")
    parent = next(parent for parent in (folder.parent, *folder.absolute().parents) if parent.exists())
    why = "" if os.access(parent, os.W_OK | os.X_OK) else "permission denied"
    if not parent.is_dir():
        why = "it is a file"
    if why:
        raise StorageError(
            f"can't create {str(folder)!r} in {str(parent)!r}: {why}; choose another directory with --out"
        )


def _contents(name: str, distribution: str) -> dict[str, str]:
    """Every file's text by its path in the folder, in the order in which an author reads them."""
    package = f"charkit_{name}"
    words = {
        "name": name,
        "distribution": distribution,
        "package": package,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "api": str(API_VERSION),
        "charkit": _requirement(),
    }
    contents = {}
    for file in files("charkit_cli").joinpath(_TEMPLATE).iterdir():
        path = file.name.removesuffix(_SUFFIX)
        destination = _DESTINATIONS.get(path, f"{package}/{path}")
        contents[destination] = Template(file.read_text("utf-8")).substitute(words)
    return dict(sorted(contents.items(), key=lambda item: (item[0] not in _DESTINATIONS.values(), item[0])))


def _requirement() -> str:
    """charkit from this release on and below the next minor one, as the index's tools write it."""
    major, minor = version("charkit").split(".")[:2]
    return f"charkit>={major}.{minor},<{major}.{int(minor) + 1}"


def _write(folder: Path, contents: dict[str, str]) -> None:
    try:
        with new_folder(folder) as temporary:
            for path, text in contents.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                file_writing.write_file(temporary / path, text.encode())
    except StorageError as error:
        why = getattr(error.__cause__, "strerror", None) or error
        raise StorageError(
            f"can't write {str(folder)!r}: {why}; choose another directory with --out"
        ) from error


def _path(folder: Path) -> str:
    """The folder, written so that pip does not take it for the name of a distribution."""
    text = str(folder)
    return shlex.quote(text if folder.is_absolute() or text.startswith(".") else f"./{text}")
