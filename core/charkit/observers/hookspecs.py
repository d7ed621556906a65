"""The hook by which an observer gets the events of training."""

from __future__ import annotations

from charkit.events import Event
from charkit.hookspecs import hookspec

#: The entry points of observers, each by the name that `track` chooses it by.
ENTRY_POINT_GROUP = "charkit.observers"


@hookspec
def charkit_event(event: Event) -> str | None:
    """Receives the events of training (``charkit.events``) in order; it may return a line for the user.

    It is called in a separate process, from one thread. The first event is ``Started``; the last one is
    ``Ended``, after which the process ends. Of ``Validating`` and ``Advanced``, which report progress, it gets at most
    five per second. If the entry point names a class, each session gets a new instance of it.
    """
