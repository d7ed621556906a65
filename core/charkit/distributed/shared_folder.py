"""The folder through which the local engine shares arrays with its workers, in memory where the system has one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import deque
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from charkit.distributed.engine import Arrays
from charkit.distributed.owned_folder import OwnedFolder
from charkit.errors import EngineError, reason_of

#: A folder in memory, where the system has one: arrays that are shared are not written to a disk.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with a name of its own is made in it
#: What a file takes beyond its arrays, and the folder its lock.
_SPARE_BYTES = 2**20
#: How many sets of shared arrays are kept: a late worker may still be opening the one before.
_KEPT = 2


class SharedFolder:
    """A folder of this process, and the sets of arrays in it, each of at most ``shared_bytes``.

    It is in memory, or among temporary files where memory has no room: containers often get 64 MB of it. Raises
    EngineError where neither has room.
    """

    def __init__(self, shared_bytes: int) -> None:
        self._folder, self.notices = _folder_with_room(_KEPT * shared_bytes + _SPARE_BYTES)
        self._names: deque[str] = deque()
        self._count = 0

    @property
    def path(self) -> Path:
        """Where the files are."""
        return self._folder.path

    def add(self, arrays: Arrays) -> str:
        """Writes a set of arrays, removes the last but one before it, and returns the name of its file.

        Raises EngineError where there is no room.
        """
        self._count += 1
        name = f"shared-{self._count}.safetensors"
        self._names.append(name)
        while len(self._names) > _KEPT:
            (self.path / self._names.popleft()).unlink(missing_ok=True)
        contiguous = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        try:
            safetensors.numpy.save_file(contiguous, self.path / name)
        except (OSError, safetensors.SafetensorError) as error:
            raise EngineError(
                f"the weights can't be shared with the workers through {str(self.path)!r}: {reason_of(error)}; free "
                "some space there, and continue with `resume`"
            ) from error
        return name

    def remove(self) -> None:
        """Removes the folder."""
        self._folder.remove()


def _folder_with_room(needed_bytes: int) -> tuple[OwnedFolder, tuple[str, ...]]:
    """A folder with so much room, and what a user should know of where it is. Raises EngineError without one."""
    found = []
    for parent in dict.fromkeys((_MEMORY, Path(tempfile.gettempdir()))):
        if not os.access(parent, os.W_OK):
            continue
        try:
            folder = OwnedFolder(
                "charkit-workers-", parent
            )  # it first removes what killed processes left there
        except OSError as error:
            found.append(f"{str(parent)!r} can't be used ({error.strerror})")
            continue
        free = shutil.disk_usage(parent).free
        if free >= needed_bytes:
            return folder, tuple(_notice(where, needed_bytes, parent) for where in found)
        folder.remove()
        found.append(f"{str(parent)!r} has {_megabytes(free)} free")
    raise EngineError(
        f"the workers need {_megabytes(needed_bytes)} to share the weights, but {' and '.join(found)}; free some space,"
        " set TMPDIR to a directory with enough space, or give the container more shared memory (docker run --shm-size)"
    )


def _notice(found: str, needed_bytes: int, parent: Path) -> str:
    return (
        f"the weights are shared through files in {str(parent)!r}, which may be slow: they need "
        f"{_megabytes(needed_bytes)}, but {found}"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
