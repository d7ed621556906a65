"""Python's garbage collector, turned off for a while."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Runs no garbage collection in the context; afterward, the collector is as it was."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def lasting_objects() -> Iterator[None]:
    """Pauses the collection for code whose objects stay, such as an import, and counts them as old.

    The next collections of new objects would otherwise go through all of them, which took 0.1 s of the 2.4 s of
    ``toolkit sample`` on TensorFlow. A full collection, which is rare, still does.
    """
    with collection_paused():
        can_unfreeze = not gc.get_freeze_count()
        yield
        if can_unfreeze:
            gc.freeze()
            gc.unfreeze()  # moves them to the oldest generation, without looking at one
