"""What a process that was killed left half written, and what it was in the middle of.

Only what is surely charkit's own is removed: it has a name that charkit gives to temporary files and folders and nobody
chooses, it holds nothing but what charkit writes, and no living process holds its lock.
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
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import NAME as LOCK
from charkit.runs.lock import is_held
from charkit.runs.temporary_names import is_old, temporary_of

#: Everything that charkit writes into the folder of a run, besides temporary files.
RUN_FILES = frozenset(
    {"config.json", "vocabulary.json", "metrics.jsonl", "samples.jsonl", "schedule.jsonl", "sessions.jsonl"}
    | {"README.md", "text.txt", "checkpoints", "best", "latest", "tracking", LOCK}
)
#: The names that earlier versions gave to a folder that was being replaced, and to the one that took its place. A user
#: may have chosen such a name, so that it alone says nothing.
_FORMER_OLD = re.compile(r"\.(?P<name>.+)-old-[0-9a-f]{8}", re.DOTALL)
_FORMER_NEW = r"\.{name}-[0-9a-f]{{8}}"
#: A folder in which nothing is written is that of a process which is about to do so, until it is older than this.
_OLD_SECONDS = 3600.0


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
            if any((temporary_of(entry) or entry) not in contents for entry in found):
                return False
            if _is_just_begun(inside, found):
                return is_locked_by_caller or time.time() - inside.modified > _OLD_SECONDS
            return not (LOCK in contents and is_held(inside))
    except (OSError, RunError):
        return False


def _is_just_begun(folder: OpenFolder, found: Collection[str]) -> bool:
    """Whether nothing has been written into a new folder yet, not even who has locked it.

    Its lock must not be tried then: the process that created it is about to take it, and would be refused.
    """
    if not found:
        return True
    lock = folder.status(LOCK)
    return set(found) == {LOCK} and lock is not None and lock.st_size == 0


def left_over_files(run: Path) -> list[str]:
    """The names of temporary files in a run, which are left over unless it is being trained."""
    with OpenFolder.at(run) as folder:
        return [name for name in folder.names() if temporary_of(name) in RUN_FILES and _is_file(folder, name)]


def remove_left_over_files(run: Path) -> None:
    """Removes temporary files from a run whose lock the caller holds."""
    with OpenFolder.at(run) as folder:
        for name in left_over_files(run):
            with suppress(OSError):
                folder.remove(name)


def _is_file(folder: OpenFolder, name: str) -> bool:
    status = folder.status(name)
    return status is not None and stat.S_ISREG(status.st_mode)


def remove_left_over_runs(path: Path) -> None:
    """Removes what processes that were killed left of the run at ``path``, beside it: half of a new one, or an old one.

    An old one is removed only where there is a run at ``path``, which took its place.
    """
    with suppress(OSError), OpenFolder.at(path.parent) as parent:
        for name in parent.names():
            if temporary_of(name) != path.name or not is_left_over(parent, name, RUN_FILES):
                continue
            if parent.status(path.name) is not None or not is_old(name):
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
            if _replaced(parent, name, RUN_FILES) == path.name:
                parent.rename(name, path.name)
                return


def restore_old_folders(folder: OpenFolder, contents: Collection[str]) -> list[str]:
    """The same for the folders in an open one that belongs to a run whose lock the caller holds.

    Returns the names that were given back.
    """
    restored = []
    for name in folder.names():
        to_be = _replaced(folder, name, contents)
        if to_be is not None and folder.status(to_be) is None:
            folder.rename(name, to_be)
            restored.append(to_be)
    return restored


def _replaced(folder: OpenFolder, name: str, contents: Collection[str]) -> str | None:
    """The name of a folder that a killed process was replacing; None for any other entry."""
    former = _FORMER_OLD.fullmatch(name)
    if is_old(name):
        to_be = temporary_of(name)
    elif former is not None and _is_former(folder, name, former["name"], contents):
        to_be = former["name"]
    else:
        return None
    try:
        with folder.folder(name) as inside:
            return None if is_held(inside) else to_be
    except (OSError, RunError):
        return None


def _is_former(folder: OpenFolder, name: str, to_be: str, contents: Collection[str]) -> bool:
    """Whether an earlier version moved a folder aside: it holds what charkit writes, and the new one is there too."""
    new = re.compile(_FORMER_NEW.format(name=re.escape(to_be)))
    if not any(new.fullmatch(entry) and folder.has_folder(entry) for entry in folder.names()):
        return False
    try:
        with folder.folder(name) as inside:
            found = inside.names()
    except (OSError, RunError):
        return False
    return bool(found) and all(entry in contents for entry in found)
