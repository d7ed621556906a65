"""Which files a text consists of: those that are named, and those in folders that match a pattern.

What charkit writes is not taken for text: a run in a folder that is searched is skipped.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from glob import escape as glob_escape
from operator import itemgetter
from pathlib import Path

from charkit.errors import TextError
from charkit.runs.identity import identity
from charkit.text.files import status_of, unreadable
from charkit.text.locations import absolute_path

#: How many files of a folder are counted to find what it has most of.
_MOST_FILES = 10_000
_BEGINNING_BYTES = 1_024


@dataclass(frozen=True)
class FoundFiles:
    """The files of a text in the order in which they are read, and the runs that were skipped, sorted."""

    files: tuple[Path, ...]
    runs: tuple[Path, ...]


def find_files(texts: Sequence[str], globs: Sequence[str]) -> FoundFiles:
    """Returns the given files, and those in the given folders that match one of ``globs``, sorted, each once.

    The order is that of the absolute paths, as a run records them: they are read in the same order again. A file that
    is found under several names, as links have them, is read under the first of them in that order, so the order of the
    arguments and that of a folder's entries make no difference. Folders are searched with all that is in them but runs;
    a run that is given itself is searched like any other folder.

    Raises TextError for a path that is missing or not a file or folder, and for a folder without a match. What can't be
    read in a folder is left out: see ``unreadable_folders``.
    """
    places: list[tuple[Path, Path]] = []
    runs: set[Path] = set()
    for text in texts:
        path = Path(text)
        mode = status_of(path).st_mode
        if stat.S_ISDIR(mode):
            found = _files_in(path, globs)
            paths: Sequence[Path] = found.files
            runs.update(found.runs)
        elif stat.S_ISREG(mode):
            paths = [path]
        else:
            raise TextError(f"{text!r} is not a regular file; give a regular file or a directory")
        places += [(absolute_path(path) / each.relative_to(path), each) for each in paths]
    files: dict[Path, Path] = {}
    for _, each in sorted(places, key=itemgetter(0)):
        files.setdefault(each.resolve(), each)
    return FoundFiles(tuple(files.values()), tuple(sorted(runs)))


def _files_in(folder: Path, globs: Sequence[str]) -> FoundFiles:
    matching: list[Path] = []
    for glob in globs:
        try:
            matching += [path for path in folder.rglob(glob) if path.is_file()]
        except (ValueError, NotImplementedError) as error:
            raise TextError(
                f"{glob!r} is not a pattern for files in a directory; give a `glob` such as '*.txt'"
            ) from error
        except OSError as error:
            raise unreadable(repr(str(folder)), error) from error
    runs = _Runs(folder)
    files = tuple(path for path in matching if runs.around(path) is None)
    if not files:
        errors = [error for error in unreadable_folders(folder) if Path(error.filename) == folder]
        if errors:
            raise unreadable(repr(str(folder)), errors[0])
        raise no_match(str(folder), globs, in_runs=bool(matching), such_as=_commonest_pattern(folder))
    return FoundFiles(files, tuple(runs.found))


@dataclass
class _Runs:
    """The runs below a folder in which files were found. Each folder with such a file is looked at once."""

    folder: Path
    _known: dict[Path, Path | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._known[self.folder] = None  # given by the user, whether it is a run or not

    @property
    def found(self) -> set[Path]:
        """The runs that have been met."""
        return {run for run in self._known.values() if run is not None}

    def around(self, path: Path) -> Path | None:
        """The outermost run that a path in the folder lies in; None where there is none."""
        parent = path.parent
        if parent not in self._known:
            self._known[parent] = self.around(parent) or (parent if is_run(parent) else None)
        return self._known[parent]


def is_run(folder: Path) -> bool:
    """Whether the folder is a run, by its configuration."""
    return os.path.lexists(folder / "config.json") and identity(folder) is not None


def unreadable_folders(folder: Path) -> list[OSError]:
    """An error for each folder in this one, or itself, that can't be read; a search for files leaves them out."""
    errors: list[OSError] = []
    for _ in os.walk(folder, onerror=errors.append):
        pass
    return errors


def _commonest_pattern(folder: Path) -> str:
    """The pattern that matches the most text files of a folder, such as ``*.py``; empty if no suffix has any.

    Hidden folders, compiled Python and runs are left out, and so is what comes after the first files, of which a folder
    may have millions. A suffix is taken for that of text files if its first file is.
    """
    suffixes: Counter[str] = Counter()
    firsts: dict[str, Path] = {}
    looked_at = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_skipped(name) and not is_run(Path(parent, name))]
        for path in (Path(parent, name) for name in sorted(names)[:_MOST_FILES]):
            if path.suffix and path.is_file():
                suffixes[path.suffix] += 1
                firsts.setdefault(path.suffix, path)
        looked_at += len(names)
        if looked_at > _MOST_FILES:
            break
    for suffix, _ in suffixes.most_common():
        if _is_text(firsts[suffix]):
            return f"*{glob_escape(suffix)}"
    return ""


def _is_skipped(folder_name: str) -> bool:
    return folder_name.startswith(".") or folder_name == "__pycache__"


def _is_text(path: Path) -> bool:
    """Whether the beginning of a file has no NUL, which text has only in encodings of two bytes or more."""
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(_BEGINNING_BYTES)
    except OSError:
        return False


def no_match(folder: str, globs: Sequence[str], *, in_runs: bool = False, such_as: str = "") -> TextError:
    """The error for a folder that has no file of these patterns, or has them ``in_runs`` alone.

    It names the pattern ``such_as``, unless that is empty.
    """
    patterns = " or ".join(map(repr, globs))
    if in_runs:
        return TextError(
            f"the directory {folder!r} has files that match {patterns} only in runs, which are skipped; give another "
            "`glob`, or the path of a file or run"
        )
    return TextError(
        f"the directory {folder!r} has no file that matches {patterns}; name its files, or give another `glob`"
        + (f", such as {such_as!r}" if such_as else "")
    )
