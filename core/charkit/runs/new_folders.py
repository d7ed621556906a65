"""New folders, such as those of runs and reports: whole at once or absent, under a name that is free.

A crash leaves either the whole folder or none, never half of one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from charkit.runs.files_by_path import sync, writing
from charkit.runs.folder_files import Existing, OpenFolder
from charkit.runs.temporary_names import temporary_name

#: How often parents that another process removes are made anew.
_TRIES = 5


@contextmanager
def new_folder(path: Path, *, existing: Existing = "refuse unless empty") -> Iterator[Path]:
    """Yields a temporary folder beside ``path`` that becomes ``path`` at the end, whole and durable.

    With "replace", a folder that was there before is exchanged for the new one in one step, and then removed. If
    anything fails, or the process is interrupted, what was there is there again, and nothing else.
    """
    with (
        writing(path),
        parents_made(path.parent),
        OpenFolder.at(path.parent) as parent,
        parent.new_folder(path.name, existing=existing) as folder,
    ):
        yield folder.path


@contextmanager
def parents_made(folder: Path) -> Iterator[None]:
    """While inside, the folder exists, made with its parents if need be; where that fails, they are gone again."""
    made = _missing_parents(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
        for each in made:
            sync(each.parent)
    except BaseException:
        for each in made:
            with suppress(OSError):  # it was not made, or another process uses it now
                each.rmdir()
        raise


def check_new_folder(path: Path) -> None:
    """Raises StorageError where ``new_folder`` would fail, for callers that compute for long before they write."""
    with writing(path):
        tried = path.with_name(temporary_name(path.name))
        for tries_left in reversed(range(_TRIES)):
            made = _missing_parents(path.parent)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                tried.mkdir()
                tried.rmdir()
                return
            except FileNotFoundError:  # another process that checks the same has removed what it had made
                if not tries_left:
                    raise
            finally:
                for folder in made:
                    with suppress(OSError):  # another process uses it now
                        folder.rmdir()


def next_free_folder(parent: Path, name: str) -> Path:
    """The path of the first free ``NAME-N`` in a folder: N is one more than the highest there, or 1. Makes nothing.

    Names that differ in case alone count too, since some file systems take them for the same.
    """
    pattern = re.compile(re.escape(name.casefold()) + r"-([0-9]{1,18})")
    names = (entry.name.casefold() for entry in visible_entries(parent))
    taken = [int(match[1]) for entry in names if (match := pattern.fullmatch(entry))]
    return parent / f"{name}-{max(taken, default=0) + 1}"


def visible_entries(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden ones such as a run that a crash left half made.

    Empty where there is no such folder.
    """
    return [path for path in sorted(folder.iterdir()) if path.name[0] != "."] if folder.is_dir() else []


def _missing_parents(path: Path) -> list[Path]:
    """The folders that must be made so that ``path`` exists, the innermost first."""
    return [folder for folder in (path, *path.parents) if not folder.exists()]
