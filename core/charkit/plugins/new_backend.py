"""The skeleton of a new backend: a plugin distribution whose functions are to be filled in, one by one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from importlib.util import find_spec
from keyword import iskeyword
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any

from charkit.argument_checks import as_path
from charkit.errors import BackendError, ConfigurationError, StorageError
from charkit.hookspecs import API_VERSION
from charkit.html_tables import table_of_fields
from charkit.keyword_suggestions import suggesting_keywords
from charkit.plugins.discovery import installed
from charkit.runs import files_by_path
from charkit.runs.new_folders import new_folder
from charkit.version import version

#: Where each file of the template goes; all others go into the package.
_DESTINATIONS = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "conformance.yml": ".github/workflows/conformance.yml",
    "test_conformance.py": "tests/test_conformance.py",
}
_TEMPLATE = "backend_template"
_SUFFIX = ".txt"  # keeps tools from treating a template as source
#: The name is part of the names of a folder and of a module.
_LONGEST_NAME = 100
_OTHER_FOLDER = "choose another directory with `folder`"


@dataclass(frozen=True)
class NewBackend:
    """The skeleton of a backend that ``new_backend`` wrote: its directory, and the paths of its files in it."""

    folder: Path
    files: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What was written, as ``toolkit new-backend --json`` prints it."""
        return {"folder": str(self.folder), "files": list(self.files)}

    def _repr_html_(self) -> str:
        return table_of_fields([("directory", str(self.folder)), ("files", ", ".join(self.files))])


@suggesting_keywords
def new_backend(name: str, folder: str | PathLike[str] | None = None) -> NewBackend:
    """Writes the skeleton of a backend: a distribution that can be installed, with functions to fill in.

        made = charkit.new_backend("mine")
        print(made.folder, made.files)

    ``name`` is made up of a to z, digits and ``_``. ``folder`` is the directory to create, with its parents; by
    default ``charkit-NAME`` in the working directory. It is written whole or not at all. After ``pip install -e`` of
    that directory, ``charkit.verify(name)`` says which function to write next.

    Raises ConfigurationError for a name that no package can have, BackendError for one that an installed backend or
    package has already, and StorageError if the directory exists or can't be written.
    """
    _check_name(name)
    distribution = f"charkit-{name.replace('_', '-')}"
    path = as_path("`folder`", distribution if folder is None else folder)
    _check_folder(path)
    contents = _contents(name, distribution)
    _write(path, contents)
    return NewBackend(path, tuple(contents))


def _check_name(name: str) -> None:
    """Raises an error for a name that a package can't have, or that is taken."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or iskeyword(name):
        raise ConfigurationError(
            f"a backend's name must be a Python identifier made up of lowercase letters a to z, digits and single "
            f"underscores between them, such as my_backend, and not a Python keyword; given {name!r}"
        )
    if len(name) > _LONGEST_NAME:
        raise ConfigurationError(
            f"a backend's name must have at most {_LONGEST_NAME} characters; given {len(name)}"
        )
    claims = [plugin for plugin in installed() if plugin.name == name]
    if claims:
        owners = " and ".join(f"{plugin.distribution} {plugin.version}" for plugin in claims)
        raise BackendError(f"the name {name!r} is taken by the backend of {owners}; choose another name")
    if find_spec(f"charkit_{name}") is not None:
        raise BackendError(
            f"the name {name!r} is taken: the package charkit_{name} is already installed; choose another name"
        )


def _check_folder(folder: Path) -> None:
    """Raises StorageError unless the folder can be made, with its parents, and pip can install it by its path."""
    if "[" in str(folder):
        raise StorageError(
            f"{str(folder)!r} contains '[', which pip reads as the start of extras; {_OTHER_FOLDER}"
        )
    if os.path.lexists(folder):
        raise StorageError(f"{str(folder)!r} already exists; {_OTHER_FOLDER}")
    parent = next(parent for parent in (folder.parent, *folder.absolute().parents) if parent.exists())
    if not parent.is_dir():
        raise StorageError(f"can't create {str(folder)!r}: {str(parent)!r} is a file; {_OTHER_FOLDER}")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise StorageError(
            f"can't create {str(folder)!r} in {str(parent)!r}: permission denied; {_OTHER_FOLDER}"
        )


def _contents(name: str, distribution: str) -> dict[str, str]:
    """Every file's text by its path in the folder, in the order in which an author reads them."""
    package = f"charkit_{name}"
    fields = {
        "name": name,
        "distribution": distribution,
        "package": package,
        "Class": "".join(part.capitalize() for part in name.split("_")),
        "api": str(API_VERSION),
        "charkit": _requirement(),
    }
    contents = {}
    for file in files("charkit.plugins").joinpath(_TEMPLATE).iterdir():
        path = file.name.removesuffix(_SUFFIX)
        destination = _DESTINATIONS.get(path, f"{package}/{path}")
        contents[destination] = Template(file.read_text("utf-8")).substitute(fields)
    return {path: contents[path] for path in _in_order(contents)}


def _in_order(paths: Iterable[str]) -> list[str]:
    """The files beside the package first."""
    return sorted(paths, key=lambda path: (path not in _DESTINATIONS.values(), path))


def _requirement() -> str:
    """charkit from this release on and below the next minor one, as the index's tools write it."""
    major, minor = version().split(".")[:2]
    return f"charkit>={major}.{minor},<{major}.{int(minor) + 1}"


def _write(folder: Path, contents: dict[str, str]) -> None:
    try:
        with new_folder(folder) as temporary:
            for path, text in contents.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                files_by_path.write_file(temporary / path, text.encode())
    except StorageError as error:
        why = getattr(error.__cause__, "strerror", None) or error
        raise StorageError(f"can't write {str(folder)!r}: {why}; {_OTHER_FOLDER}") from error
