"""A process of its own that lets an installed backend run out of memory, and reports what it raises.

    python -m charkit.testing.exhausting FOLDER NAME

It works in FOLDER, which is empty. It writes one line of JSON: the error's type and text, or null where memory can't
be limited on this system.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit import plugins
from charkit.backend import Backend, State
from charkit.config import ModelConfig
from charkit.testing.child import move_to
from charkit.testing.memory import at_most, can_limit
from charkit.testing.subject import Parts
from charkit.weights import weight_shapes

#: One unit, and so many symbols and sequences that what goes in is small and the logits take 16 GiB.
_MANY = 1 << 16
_LIMIT_BYTES = 4 << 30


def main() -> None:
    """Predicts on a small model, then on one whose logits are larger than the memory that is left."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what a framework prints is no answer
        move_to(sys.argv[1])
        print(json.dumps(_raised(sys.argv[2]) if can_limit() else None), file=answers)


def _raised(name: str) -> str:
    backend = plugins.create(name, precision="float32")
    small, large = _Prediction(backend, 2), _Prediction(backend, _MANY)
    small.run()  # threads and libraries take the memory that they need
    try:
        with at_most(_LIMIT_BYTES):
            large.run()
    except Exception as error:  # noqa: BLE001 - whatever it raises is what is asked here
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return "nothing"


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


if __name__ == "__main__":
    main()
