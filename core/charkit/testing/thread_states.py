"""Whether the other threads of this process sleep, where Linux lists their states."""

from __future__ import annotations

import threading
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")
#: Runs or could run; waits for a disk.
_AWAKE = {"R", "D"}


def can_see_thread_states() -> bool:
    """Whether the system lists the states of threads."""
    return _TASKS.is_dir()


def others_sleep() -> bool:
    """Whether every other thread waits for something, such as a lock, a timer or another thread.

    A thread that the system keeps from running, because others have the processors, does not sleep.
    """
    own = str(threading.get_native_id())
    return not any(_is_awake(task) for task in _TASKS.iterdir() if task.name != own)


def any_awake(threads: Collection[int]) -> bool:
    """Whether one of these threads of Python, by their ``ident``, runs or could run, as far as the system says it."""
    known = (
        [thread.native_id for thread in threading.enumerate() if thread.ident in threads] if threads else []
    )
    return any(_is_awake(_TASKS / str(native_id)) for native_id in known)


def _is_awake(task: Path) -> bool:
    with suppress(OSError):  # it has ended
        after_name = (task / "stat").read_text("utf-8", "replace").rpartition(")")[2]
        return after_name.split(maxsplit=1)[0] in _AWAKE
    return False
