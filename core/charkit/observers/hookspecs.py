"""The hook by which an observer gets the events of training."""

from __future__ import annotations

from charkit.hookspecs import hookspec
from charkit.training.events import Event

#: The entry points of observers, each by the name that `track` chooses it by.
ENTRY_POINT_GROUP = "charkit.observers"


@hookspec
def charkit_event(event: Event) -> str | None:
    """Gets an event of training (``charkit.events``), in order; what it returns, if anything, is a line for the user.

    It is called in a process of its own, from one thread. The first event is ``Reading`` or ``Started``, the last one
    ``Ended``, after which the process ends. Of ``Reading``, ``Validating`` and ``Advanced``, which report progress,
    it gets at most five per second. An entry point that names a class gets an object of it for each session.
    """
