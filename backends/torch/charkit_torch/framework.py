"""Imports PyTorch so that its threads wait for each other briefly, and then yield the processor.

PyTorch's threads synchronize at the end of every operation, several hundred times in a training step that is neither
small nor divided into halves (threads.py). By default libgomp, which is loaded with PyTorch, spins there for about ten
milliseconds, longer than a slice of processor time. Where another program keeps a core busy and both threads share the
other one, each synchronization costs a slice: a 2x128 model trained at 750 characters per second instead of 59,000.
With 30,000 spins, a millisecond or two, a thread sleeps early enough: an idle machine shows no difference, and a busy
one reaches 5,900. docs/decisions/0014 has the measurements.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SPINS = "GOMP_SPINCOUNT"
_BRIEFLY = "30000"


@contextmanager
def _brief_waits() -> Iterator[None]:
    """Sets what libgomp reads while it is loaded, unless the user has set it; restores the environment."""
    if _SPINS in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ[_SPINS] = _BRIEFLY
    try:
        yield
    finally:
        del os.environ[_SPINS]


with _brief_waits():
    import torch

__all__ = ["torch"]
