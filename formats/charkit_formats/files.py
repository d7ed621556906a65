"""Where the files of an export may go, and writing them so that all of them are there or none."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from charkit.errors import StorageError
from charkit.runs.files_by_path import sync, write_file
from charkit.runs.folder_files import OpenFolder
from charkit.runs.new_folders import parents_made
from charkit.runs.temporary_names import temporary_name
from charkit_formats.errors import FormatError
from charkit_formats.examples import EXAMPLE_START

#: What the examples import, so that no example may be called like it; Python's own modules come on top.
_IMPORTED = frozenset({"numpy", "onnxruntime", "safetensors", "torch"})


def beside(out: Path, suffix: str) -> Path:
    """The file with the name of ``out`` and another suffix, such as ``.vocabulary.json``."""
    return out.with_name(f"{out.stem}{suffix}")


def check_out(out: Path, suffix: str, form: str) -> None:
    """Raises FormatError unless ``out`` is a name that the files of an export can have, where they can be made."""
    if out.suffix != suffix or not out.stem:
        raise FormatError(
            f"a file in {form} format must be named FILE{suffix}; given {str(out)!r}; choose another `out`"
        )
    if out.stem in sys.stdlib_module_names | _IMPORTED:
        raise FormatError(
            f"the example next to {str(out)!r} would be named {out.stem}.py and shadow the module {out.stem}, "
            "which the example may import; choose another `out`"
        )
    check_folder(next(each for each in (out.parent, *out.absolute().parents) if each.exists()))


def check_folder(folder: Path) -> None:
    """Raises FormatError unless new files may be made in the folder."""
    if not folder.is_dir():
        raise FormatError(f"{str(folder)!r} is a file, not a directory; choose another `out`")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FormatError(f"can't write to {str(folder)!r}: permission denied; choose another `out`")


def check_free(paths: Sequence[Path], overwrite: bool) -> None:
    """Raises FormatError unless every one of the files may be made, or replaced where ``overwrite`` is set.

    A Python file is replaced only if it is an example that an export wrote: it may be a user's own work.
    """
    for path in paths:
        if not os.path.lexists(path):
            continue
        if not path.is_file():
            raise FormatError(f"{str(path)!r} already exists and is not a file; choose another `out`")
        if not overwrite:
            raise _taken(path)
        if path.suffix == ".py" and not path.read_bytes().startswith(EXAMPLE_START.encode()):
            raise FormatError(
                f"{str(path)!r} is not an example that charkit wrote, so it is never overwritten; choose another `out`"
            )


def _taken(path: Path) -> FormatError:
    return FormatError(
        f"{str(path)!r} already exists; replace it with `overwrite=True`, or choose an `out` with another name"
    )


def write_all(contents: Mapping[Path, bytes], overwrite: bool) -> None:
    """Writes files of one folder, durably: all of them, or none and what was there stays.

    The folder is made where it is missing. Files that exist are replaced where ``overwrite`` is set.

    A process that is killed on the way may leave some of them new and some old; each of them is whole.

    Raises FormatError where one of them exists and ``overwrite`` is not set, and StorageError where the disk is full or
    can't be written.
    """
    folder = next(iter(contents)).parent
    with _naming_folder(folder), parents_made(folder), _aside(contents) as new:
        for path, content in contents.items():
            write_file(new[path], content)
        with _aside(contents) as old:
            replaced: list[Path] = []
            try:
                for path in contents:
                    if overwrite and path.exists():
                        _keep(path, old[path])
                    replaced.append(path)
                    if overwrite:
                        new[path].replace(path)
                    else:
                        _rename_new(new[path], path)
                sync(folder)
            except BaseException:
                for path in replaced:
                    if old[path].exists():
                        old[path].replace(path)
                    elif not new[
                        path
                    ].exists():  # else it has not got the name, which may be another process's
                        path.unlink(missing_ok=True)
                raise


def _rename_new(source: Path, target: Path) -> None:
    """Renames a file within its folder. Raises FormatError where the target exists."""
    try:
        with OpenFolder.at(target.parent) as folder:
            folder.rename(source.name, target.name)
    except FileExistsError as error:
        raise _taken(target) from error


def _keep(path: Path, aside: Path) -> None:
    """Gives a file a second name, without a moment in which it lacks the first; a copy where there are no links."""
    try:
        os.link(path, aside)
    except OSError:
        write_file(aside, path.read_bytes())


@contextmanager
def _aside(paths: Mapping[Path, bytes]) -> Iterator[dict[Path, Path]]:
    """A temporary name beside each path; what is left of them at the end is removed."""
    names = {path: path.with_name(temporary_name(path.name)) for path in paths}
    try:
        yield names
    finally:
        for name in names.values():
            with suppress(OSError):
                name.unlink()


@contextmanager
def _naming_folder(folder: Path) -> Iterator[None]:
    """Turns an operating system's error into a StorageError that names the folder."""
    try:
        yield
    except OSError as error:
        is_full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        room = "free some space there, or " if is_full else ""
        raise StorageError(
            f"can't write to {str(folder)!r}: {error.strerror or error}; {room}choose another `out`"
        ) from error
