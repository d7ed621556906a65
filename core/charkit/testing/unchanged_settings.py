"""Calls that overlap, in two threads, leave the settings of the process unchanged."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from charkit.testing.isolated.process_settings import (
    FILES,
    changed_settings,
    changed_thread_pools,
    process_settings,
    thread_pools,
)
from charkit.testing.tolerances import require

#: What other programs may change meanwhile.
_OF_OTHERS = (FILES,)
#: The thread switch interval during a check, as a multiple of what it is otherwise.
_INTERVAL_FACTOR = 1.25


@contextmanager
def unchanged_settings() -> Iterator[None]:
    """Raises Mismatch if settings of the process differ afterwards.

    The thread switch interval is another one meanwhile: what an earlier call left changed would hide the next change.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_INTERVAL_FACTOR * interval)
    try:
        pools, settings = thread_pools(), process_settings()
        yield
        changed = changed_thread_pools(pools, thread_pools())
        changed += [name for name in changed_settings(settings, process_settings()) if name not in _OF_OTHERS]
    finally:
        sys.setswitchinterval(interval)
    require(
        not changed,
        expected="the settings of the process as they were before two overlapping calls",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: compile() and differentiate(): a setting of the process that is changed during a call "
        "needs a lock that all backends share",
    )
