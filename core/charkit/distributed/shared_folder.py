"""The folder through which the local engine shares arrays with its workers, in memory where the system has one."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from charkit.distributed.engine import Arrays
from charkit.distributed.owned_folder import OwnedFolder
from charkit.errors import EngineError

#: A folder in memory, where the system has one: arrays that are shared are not written to a disk.
_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder with a name of its own is made in it
#: How many sets of shared arrays are kept: a late worker may still be opening the one before.
_KEPT = 2


class SharedFolder:
    """A folder of this process, and the sets of arrays in it."""

    def __init__(self) -> None:
        parent = _MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        self._folder = OwnedFolder("charkit-workers-", parent)
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
                f"the weights can't be shared with the workers through {str(self.path)!r}: {error}; free some space "
                "there, and continue with `resume`"
            ) from error
        return name

    def remove(self) -> None:
        """Removes the folder."""
        self._folder.remove()
