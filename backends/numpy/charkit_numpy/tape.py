"""The tape: what a forward pass leaves behind for the backward pass, and the arrays both work in.

The parts of this backend are plain functions. While a tape is active on the thread, each part pushes
the function that takes the gradient of its result to the gradient of its argument. The parts form a
chain (lstm, output, loss), so going back is calling those functions in reverse order.

A tape also owns the large arrays of one half of the batch. They are made at the first step and used
again at every later one: memory that is touched for the first time costs as much as the arithmetic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


class Workspace:
    """Arrays by name, made once per shape and handed out again at every later request."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
        """An uninitialized array of this name; the same memory as in the last call with this shape."""
        found = self._arrays.get(name)
        if found is None or found.shape != shape or found.dtype != dtype:
            found = self._arrays[name] = np.empty(shape, dtype)
        return found


class Tape(Workspace):
    """A workspace that also records the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self._backward_functions: list[Callable[[Any], Any]] = []
        self.gradients: dict[str, Array] = {}

    def push(self, backward: Callable[[Any], Any]) -> None:
        """Records how the gradient of a part's result becomes the gradient of its argument."""
        self._backward_functions.append(backward)

    def run_backward(self, gradient: Any) -> dict[str, Array]:
        """Sends the gradient of the last result back through every part; returns the weights' gradients."""
        while self._backward_functions:
            gradient = self._backward_functions.pop()(gradient)
        return self.gradients


class _Active(threading.local):
    tape: Tape | None = None
    inference: Workspace | None = None


_active = _Active()


@contextmanager
def recording(tape: Tape) -> Iterator[None]:
    """Makes the tape the active one of this thread."""
    tape._backward_functions.clear()
    _active.tape = tape
    try:
        yield
    finally:
        _active.tape = None


def active_tape() -> Tape | None:
    """The tape of this thread, or None outside of training."""
    return _active.tape


def workspace() -> Workspace:
    """Where this thread's arrays live: the active tape, or a workspace kept for inference."""
    if _active.tape is not None:
        return _active.tape
    if _active.inference is None:
        _active.inference = Workspace()
    return _active.inference
