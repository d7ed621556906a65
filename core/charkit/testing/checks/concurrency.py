"""Stage training: two backends in two threads at once, each called by its own thread."""

from __future__ import annotations

from charkit.testing.isolated.process_settings import (
    FILES,
    changed_settings,
    changed_thread_pools,
    process_settings,
    thread_pools,
)
from charkit.testing.overlap import call_overlapping
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require

#: What other programs may change meanwhile.
_OF_OTHERS = (FILES,)


@check("training")
def backends_work_at_the_same_time(subject: Subject) -> None:
    """Two backends, of which one is called in another thread while the first works, leave no setting changed."""
    backends = [subject.new("float32") for _ in range(2)]
    pools, settings = thread_pools(), process_settings()
    call_overlapping(*backends)
    changed = changed_thread_pools(pools, thread_pools())
    changed += [name for name in changed_settings(settings, process_settings()) if name not in _OF_OTHERS]
    require(
        not changed,
        expected="the settings of the process as before two calls of which one began within the other",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: compile() and differentiate(): a setting of the process that is changed during a call "
        "needs a lock that all backends share",
    )
