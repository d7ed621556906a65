"""Reading several files of one run while other processes train or replace it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from charkit.errors import RunError

#: How often a run is looked at that is replaced meanwhile, and the seconds between.
_LOOKS, _PAUSE_SECONDS = 20, 0.05

FoundT = TypeVar("FoundT")


def read_steadily(path: Path, read: Callable[[], FoundT], *, awaited: bool = False) -> FoundT:
    """What ``read`` returns or raises, all of one folder: it reads again where another one got the path meanwhile.

    ``awaited``: a path that nothing has is being replaced, so that it is read again too. Raises RunError where the
    folder keeps being replaced, and what ``read`` raises.
    """
    for look in range(_LOOKS):
        before = _identity(path)
        try:
            found = read()
        except (RunError, OSError):
            if _identity(path) == before and (before is not None or not awaited or look == _LOOKS - 1):
                raise
        else:
            if _identity(path) == before:
                return found
        time.sleep(_PAUSE_SECONDS)
    raise RunError(f"the run {str(path)!r} keeps being replaced by other processes; try again later")


def _identity(path: Path) -> tuple[int, int] | None:
    """Which folder has the path now; None for none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # the second is for a path that no file can have
        return None
    return status.st_dev, status.st_ino
