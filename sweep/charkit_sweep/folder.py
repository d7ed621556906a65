"""The folder of a sweep: made in one step, opened with care, and held by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from charkit.config import first_problem
from charkit.errors import ConfigurationError, RunError, StorageError, shown
from charkit.recipe import read_recipe
from charkit.runs import limits
from charkit.runs.files_by_path import to_json, write_file
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import RunLock
from charkit.runs.new_folders import new_folder, visible_entries
from charkit.strict_json import parse_json
from charkit.text.locations import absolute_path
from charkit.version import version
from charkit_sweep.axes import Axis
from charkit_sweep.journal import NAME as JOURNAL
from charkit_sweep.spec import SweepSpec
from charkit_sweep.spec_reading import spec_from_table

FORMAT = 1
SWEEPS_FOLDER = Path("sweeps")
_IDENTITY = "sweep.json"
_RECIPES = "recipes"


class _Content(BaseModel):
    """What ``sweep.json`` holds. It never changes."""

    model_config = ConfigDict(strict=True, extra="forbid")

    format: int = Field(ge=1)
    charkit: str
    threads: int = Field(ge=1)
    device: str | None
    command: str
    sweep: dict[str, Any]
    #: The names of the copies of recipe files, by the files' paths.
    recipes: dict[str, Annotated[str, Field(pattern=r"^[^/\\]+\.toml$")]] = Field(default_factory=dict)
    #: Whether the number of trials was given beside the spec, whose own number it replaces.
    trials_given: bool = False


@dataclass(frozen=True)
class SweepFolder:
    """A sweep on disk: its settings, and what each of its trials computes with."""

    path: Path
    spec: SweepSpec
    threads: int
    device: str | None
    command: str
    #: Whether the number of trials was given beside the spec, whose own number it replaces.
    trials_given: bool = False

    @classmethod
    def create(
        cls, spec: SweepSpec, *, threads: int, device: str | None, command: str, trials_given: bool = False
    ) -> SweepFolder:
        """Makes ``sweeps/NAME``, whole or not at all. Raises ConfigurationError where it exists, and StorageError."""
        path = SWEEPS_FOLDER / spec.name
        check_free(path)
        spec = _with_absolute_paths(spec)
        copies = _names_of_copies(spec)
        content = _Content(
            format=FORMAT,
            charkit=version(),
            threads=threads,
            device=device,
            command=command,
            sweep=spec.table(),
            recipes=copies,
            trials_given=trials_given,
        )
        try:
            with new_folder(path, existing="refuse") as folder:
                write_file(folder / _IDENTITY, to_json(content.model_dump(exclude_defaults=True)))
                write_file(folder / JOURNAL, b"")
                if copies:
                    (folder / _RECIPES).mkdir()
                for file, name in copies.items():
                    write_file(folder / _RECIPES / name, Path(file).read_bytes())
        except StorageError as error:
            if isinstance(error.__cause__, FileExistsError):
                check_free(path)  # another process has taken the name since
            raise
        spec = replace(spec, recipe_copies=_copies(path, copies))
        return cls(path, spec, threads, device, command, trials_given)

    @classmethod
    def open(cls, path: Path) -> SweepFolder:
        """Opens a sweep. Raises RunError for a folder that is none, is damaged, or is from a later charkit."""
        if not path.exists():
            raise RunError(f"{str(path)!r} is not a charkit sweep: the directory doesn't exist{_among(path)}")
        found = _identity(path)
        if found is None:
            raise RunError(
                f"{str(path)!r} is not a charkit sweep: it has no valid {_IDENTITY}; give the directory of a sweep"
            )
        if found["format"] > FORMAT:
            raise RunError(
                f"{str(path)!r} is in sweep format {found['format']}, but charkit {version()} reads format {FORMAT}; "
                "use a later version of charkit"
            )
        try:
            content = _Content.model_validate(found)
            spec = spec_from_table(content.sweep, recipe_copies=_copies(path, content.recipes))
        except ValidationError as error:
            raise RunError(f"{str(path)!r} is damaged: {_IDENTITY}: {first_problem(error)}") from error
        except ConfigurationError as error:
            raise RunError(f"{str(path)!r} is damaged: {_IDENTITY}: {error}") from error
        return cls(path, spec, content.threads, content.device, content.command, content.trials_given)

    def run_path(self, trial: int) -> Path:
        """The run of a trial."""
        return self.path / f"trial-{trial:03d}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Holds the sweep for one process. Raises RunError while another one has it."""
        try:
            lock = RunLock.take(self.path)
        except RunError as error:
            found = str(error).replace("the run ", "the sweep ", 1).replace("being trained", "being run")
            raise RunError(found) from error
        with lock:
            yield


def check_free(path: Path) -> None:
    """Raises ConfigurationError unless a sweep may be made at a path."""
    if not os.path.lexists(path):
        return
    if _identity(path) is None:
        raise ConfigurationError(
            f"{str(path)!r} already exists and is not a charkit sweep, so it is never overwritten; "
            "choose another `name`"
        )
    raise ConfigurationError(
        f"the sweep {str(path)!r} already exists; continue it with `resume`, or choose another `name`"
    )


def find_sweep(name: str | os.PathLike[str] | None) -> Path:
    """The folder of a sweep by its name or path, or of the one that was worked on last. Raises RunError."""
    if name is not None:
        path = Path(name)
        named = SWEEPS_FOLDER / path
        return named if len(path.parts) == 1 and not _is_sweep(path) and named.exists() else path
    known = [
        ((entry / JOURNAL).stat().st_mtime_ns, entry)
        for entry in visible_entries(SWEEPS_FOLDER)
        if _is_sweep(entry) and (entry / JOURNAL).is_file()
    ]
    if not known:
        raise RunError(f"no sweep was given, and there is none in {str(SWEEPS_FOLDER)!r}; start one first")
    return max(known)[1]


def differing_key(found: SweepSpec, given: SweepSpec) -> str | None:
    """The first thing in which two sweeps differ, in words; None if they are the same."""
    old, new = found.table(), _with_absolute_paths(given).table()
    key = _differing(old, new)
    if key is None:
        return None
    before, now = old.get(key), new.get(key)
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        part = _differing(before, now) or ""
        return f"{key}.{part} {_known(before.get(part))}, but {_given(now.get(part))}"
    return f"{key} {_known(before)}, but {_given(now)}"


def changed_recipe(found: SweepSpec) -> str | None:
    """The recipe file that has changed since the sweep began; None if none has. Raises ConfigurationError."""
    return next(
        (file for file, copy in found.recipe_copies.items() if _content(Path(file)) != _content(copy)), None
    )


def _content(recipe: Path) -> dict[str, Any]:
    return read_recipe(recipe).model_dump(exclude={"file"})


def _differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    return next((key for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)), None)


def _known(value: Any) -> str:
    return "is not set" if value is None else f"is set to {shown(value)}"


def _given(value: Any) -> str:
    return "it was not given" if value is None else f"{shown(value)} was given"


def _is_sweep(path: Path) -> bool:
    return path.is_dir() and _identity(path) is not None


def _identity(path: Path) -> dict[str, Any] | None:
    """The content of a sweep's ``sweep.json``; None where the folder is no sweep."""
    try:
        with OpenFolder.at(path) as folder:
            content = parse_json(folder.read(_IDENTITY, limits.CONFIG))
    except (OSError, ValueError, RunError):
        return None
    is_sweep = isinstance(content, dict) and type(content.get("format")) is int and "sweep" in content
    return content if is_sweep else None


def _among(path: Path) -> str:
    names = [entry.name for entry in visible_entries(SWEEPS_FOLDER) if _is_sweep(entry)]
    return f"; {str(SWEEPS_FOLDER)!r} contains {', '.join(names)}" if names else "; start one first"


#: Keys whose values may be paths.
_PATHS = ("text", "recipe")


def _with_absolute_paths(spec: SweepSpec) -> SweepSpec:
    """The sweep with absolute paths of texts and recipes, so that it goes on from any folder; what is none stays."""
    axes = tuple(_axis_with_absolute_paths(axis) if axis.key in _PATHS else axis for axis in spec.axes)
    fixed = {key: _absolute(key, value) if key in _PATHS else value for key, value in spec.fixed.items()}
    return replace(spec, axes=axes, fixed=fixed)


def _axis_with_absolute_paths(axis: Axis) -> Axis:
    """The axis with absolute paths. Raises ConfigurationError where two of its values are the same file."""
    values: list[Any] = []
    for value in axis.values or ():
        path = _absolute(axis.key, value)
        if path in values:
            raise ConfigurationError(f"axes: {axis.key}: {shown(path)} is listed twice; remove one")
        values.append(path)
    return replace(axis, values=tuple(values), written=values)


def _absolute(key: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_absolute(key, each) for each in value]
    is_name = key == "recipe" and not _is_file(value)
    return value if is_name or not Path(value).exists() else str(absolute_path(Path(value)))


def _is_file(recipe: str) -> bool:
    """Whether a recipe is a file rather than a name, by the rule of ``find_recipe``."""
    return recipe.endswith(".toml") or "/" in recipe


def _names_of_copies(spec: SweepSpec) -> dict[str, str]:
    """What the copies of the sweep's recipe files are called, by the files; no two are called the same."""
    names: dict[str, str] = {}
    for recipe in filter(_is_file, spec.recipes()):
        name = f"{Path(recipe).stem}.toml"
        while name in names.values():
            name = f"another-{name}"
        names[recipe] = name
    return names


def _copies(sweep: Path, names: Mapping[str, str]) -> dict[str, Path]:
    return {file: sweep / _RECIPES / name for file, name in names.items()}
