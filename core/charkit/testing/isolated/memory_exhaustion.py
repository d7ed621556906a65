"""Lets a backend run out of memory, in a process that may be spoiled by it, and reports what it raises."""

from __future__ import annotations

import re
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Backend, State
from charkit.config import ModelConfig
from charkit.testing.memory import at_most, can_limit
from charkit.testing.subject import Parts
from charkit.weights import weight_shapes

#: One unit, and so many symbols and sequences that what goes in is small and the logits take 16 GiB.
_MANY = 1 << 16
_LIMIT_BYTES = 4 << 30
_OF_MEMORY = re.compile("Memory|Exhausted")
_PLANTED = "an argument that is not valid, planted by the conformance kit"


def exhaust(backend: Backend[Any]) -> dict[str, str]:
    """Predicts on a small model, then on one whose logits are larger than the memory that is left.

    Returns the error's type and text, and what comes of an error of the same type that is of something else;
    nothing where memory can't be limited on this system.
    """
    if not can_limit():
        return {}
    small, large = _Prediction(backend, 2), _Prediction(backend, _MANY)
    small.run()  # threads and libraries take the memory that they need
    try:
        with at_most(_LIMIT_BYTES):
            large.run()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is asked here
        return {"raised": _said(error), **_of_another_error(backend, error)}
    return {"raised": "nothing"}


def _of_another_error(backend: Backend[Any], error: Exception) -> dict[str, str]:
    """What comes of an error of the type that was translated, but with a text that says nothing of memory.

    Nothing is asked where no error was translated, or its type itself says that it is of memory.
    """
    cause = error.__cause__
    if cause is None or _OF_MEMORY.search(type(cause).__name__):
        return {}
    try:
        other = type(cause)(_PLANTED)
    except TypeError:
        return {}  # a type that is made of more than a text

    def fail(argument: Any) -> NoReturn:
        raise other

    try:
        backend.compile(fail)(backend.tensor(np.zeros(1)))
    except Exception as raised:  # noqa: BLE001 - what comes out is what is asked
        return {"other": type(other).__name__, "raised_for_other": _said(raised)}
    return {"other": type(other).__name__, "raised_for_other": "nothing"}


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _Prediction:
    """The logits of ``count`` sequences over ``count`` symbols, by a model of one unit."""

    def __init__(self, backend: Backend[Any], count: int) -> None:
        model = ModelConfig(vocabulary_size=count, lstm_size=1, num_layers=1)
        weights = {name: np.zeros(shape) for name, shape in weight_shapes(model).items()}
        zeros: NDArray[np.float64] = np.zeros((1, count, 1))
        self._parts, self._state = Parts(backend, model, weights), State(zeros, zeros)
        self._symbols = np.zeros((count, 1), np.int32)

    def run(self) -> None:
        self._parts.predict(self._symbols, self._state)
