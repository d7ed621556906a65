"""Imports PyTorch so that its threads wait for each other briefly, and leave the processor to others then.

PyTorch's threads meet at the end of every operation, several hundred times in a training step. By its default
libgomp, which is loaded with PyTorch, spins there for some ten milliseconds, longer than a slice of processor time. So
where another program keeps a core busy and both threads share the other, each meeting costs a slice: a 2x128 model
was seen to train at 750 characters per second instead of 59,000. After 30,000 turns, a millisecond or two, a thread
goes to sleep; that costs nothing measurable on a calm machine, and a busy one gives 5,900. docs/decisions/0014 has
the measurements.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_SPINS = "GOMP_SPINCOUNT"
_BRIEFLY = "30000"


@contextmanager
def _brief_waits() -> Iterator[None]:
    """Tells libgomp, which reads its environment while it is loaded; leaves what somebody has set."""
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
