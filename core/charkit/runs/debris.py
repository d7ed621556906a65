"""What a process that was killed left half written, and what it was in the middle of.

Only what is surely charkit's own is removed: it has a name that charkit gives to temporary files and folders, it holds
nothing but what charkit writes, and no living process holds its lock.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from charkit.errors import RunError
from charkit.runs import limits
from charkit.runs.lock import NAME as LOCK
from charkit.runs.lock import is_held
from charkit.runs.open_folder import OpenFolder

#: Everything that charkit writes into the folder of a run, besides temporary files.
RUN_FILES = frozenset(
    {"config.json", "vocabulary.json", "metrics.jsonl", "samples.jsonl", "schedule.jsonl", "sessions.jsonl"}
    | {"README.md", "text.txt", "checkpoints", "best", "latest", "tracking", LOCK}
)
_POINTERS = ("best", "latest")
_POINTER_START = b'{\n  "checkpoint": "'
_TEMPORARY = re.compile(r"\.(?P<name>.+?)-(?P<old>old-)?[a-z0-9_]{8}", re.DOTALL)
#: An empty folder is that of a process which is about to write into it, until it is older than this.
_OLD_SECONDS = 3600.0


def temporary_of(name: str) -> str | None:
    """The name that a temporary file or folder was to get, or that an old one had; None for another name."""
    found = _TEMPORARY.fullmatch(name)
    return None if found is None else found["name"]


def is_left_over(
    folder: OpenFolder, name: str, contents: Collection[str], *, is_locked_by_caller: bool = False
) -> bool:
    """Whether an entry is a temporary folder that a killed process left: no other ``contents``, and no lock held.

    ``is_locked_by_caller``: the caller holds the lock of the run that the folder is in.
    """
    if temporary_of(name) is None or not folder.has_folder(name):
        return False
    try:
        with folder.folder(name) as inside:
            found = inside.names()
            strange = [entry for entry in found if (temporary_of(entry) or entry) not in contents]
            if strange or (LOCK in contents and is_held(inside)):
                return False
            return bool(found) or is_locked_by_caller or time.time() - inside.modified > _OLD_SECONDS
    except (OSError, RunError):
        return False


def left_over_files(run: Path) -> list[str]:
    """The names of temporary files in a run, which are left over unless it is being trained."""
    with OpenFolder.at(run) as folder:
        return [
            name
            for name in folder.names()
            if temporary_of(name) in RUN_FILES and _is_unfinished(folder, name)
        ]


def remove_left_over_files(run: Path) -> None:
    """Removes temporary files from a run whose lock the caller holds."""
    with OpenFolder.at(run) as folder:
        for name in left_over_files(run):
            with suppress(OSError):
                folder.remove(name)


def _is_unfinished(folder: OpenFolder, name: str) -> bool:
    status = folder.status(name)
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    if temporary_of(name) not in _POINTERS:
        return True
    try:  # these names are short, so that somebody's own file may have one of this form
        content = folder.read(name, limits.POINTER)
    except (OSError, RunError):
        return False
    return content.startswith(_POINTER_START) or _POINTER_START.startswith(content)


def remove_left_over_runs(path: Path) -> None:
    """Removes what processes that were killed left of the run at ``path``, beside it: half of a new one, or an old one.

    An old one is removed only where there is a run at ``path``, which took its place.
    """
    with suppress(OSError), OpenFolder.at(path.parent) as parent:
        for name in parent.names():
            if temporary_of(name) != path.name or not is_left_over(parent, name, RUN_FILES):
                continue
            if parent.status(path.name) is not None or not _is_old(name):
                with suppress(OSError):
                    parent.remove(name)


def restore_old(path: Path) -> None:
    """Gives a run its name back where a process was killed between the two steps of replacing it.

    That can happen only where the system can't exchange two names in one call.
    """
    if os.path.lexists(path):
        return
    with suppress(OSError), OpenFolder.at(path.parent) as parent:
        for name in parent.names():
            if temporary_of(name) == path.name and _is_old(name) and is_left_over(parent, name, RUN_FILES):
                parent.rename(name, path.name)
                return


def restore_old_folders(folder: OpenFolder, contents: Collection[str]) -> list[str]:
    """The same for the folders in an open one that belongs to a run whose lock the caller holds.

    Returns the names that were given back.
    """
    restored = []
    for name in folder.names():
        to_be = temporary_of(name)
        if to_be is None or not _is_old(name) or folder.status(to_be) is not None:
            continue
        if is_left_over(folder, name, contents, is_locked_by_caller=True):
            folder.rename(name, to_be)
            restored.append(to_be)
    return restored


def _is_old(name: str) -> bool:
    found = _TEMPORARY.fullmatch(name)
    return found is not None and found["old"] is not None
