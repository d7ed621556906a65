"""Exhausts the memory of an isolated process, and reports what the backend raises."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, Backend, State
from charkit.config import ModelConfig
from charkit.plugins.failures import sources_of_class
from charkit.system.garbage_collection import collection_paused
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import make_case
from charkit.testing.isolated.reports import small_network
from charkit.testing.kept_errors import variable_with
from charkit.testing.memory import can_limit_memory, memory_limit
from charkit.weights import weight_shapes

#: With one unit and this many symbols and sequences the inputs are small and the logits take 16 GiB.
_COUNT = 1 << 16
_LIMIT_BYTES = 4 << 30
#: With so many, the logits take 64 MiB: more than the limit, but not more than there is.
_SOME_COUNT, _LOW_LIMIT_BYTES = 1 << 12, 32 << 20
#: Of an array that fits, but not with its copy. As long as nothing is written to it, it takes up no real memory.
_CONTIGUOUS_BYTES = 3 << 30
_MEMORY_ERROR_NAME = re.compile("Memory|Exhausted")
_PLANTED = "an invalid argument, planted by the conformance kit"


def exhaust_memory(backend: Backend[Any]) -> dict[str, Any]:
    """Predicts with a small model, then with one whose logits do not fit into the memory that is left.

    Returns the error's type and text as ``raised``, whether it is a MemoryError as ``is_memory_error``, and what the
    backend makes of an unrelated error of the same type as ``raised_for_other``. What ``tensor()`` raises instead of
    MemoryError is in ``wrong_errors_of_tensor``. What keeps the error, with the memory of its call, is in
    ``keeps_error``. Empty if the system can't limit memory.
    """
    if not can_limit_memory():
        return {}
    small, large = _Prediction(backend, 2), _Prediction(backend, _COUNT)
    small.run()  # threads and libraries allocate what they need
    found: dict[str, Any] = {"wrong_errors_of_tensor": _wrong_errors_of_tensor(backend)}
    with collection_paused():
        error = _error_of(large.run)
        if error is None:
            return {**found, "raised": "no error", "is_memory_error": False}
        found |= {"raised": _description(error), "is_memory_error": isinstance(error, MemoryError)}
        kept = _variable_with(error, sources_of_class(type(backend)))
        translated, errors = type(error.__cause__), {id(error), id(error.__cause__)}
        del error
    gc.collect()
    # Exceptions can't have weak references.
    if any(id(other) in errors and isinstance(other, Exception) for other in gc.get_objects()):
        kept = "the error is still referenced"
    return {**found, "keeps_error": kept, **_unrelated_error(backend, translated)}


def _variable_with(error: Exception, sources: list[Path]) -> str:
    """The variable of the plugin that keeps the error, or the framework's error that caused it; or nothing."""
    for each in (error, error.__cause__):
        variable = "" if each is None else variable_with(each, sources)
        if variable:
            return (
                f"{variable} refers to the {type(each).__name__}, whose traceback refers back to the variable"
            )
    return ""


def repeat_exhausted_calls(backend: Backend[Any]) -> dict[str, str]:
    """What calls raise, as ``raised``, that run out of memory and then are made again with enough of it, or nothing.

    The training step is made again with new weights and moments, since the first may have consumed the old ones.
    """
    case = make_case(
        num_layers=1, batch_size=_SOME_COUNT, num_steps=1, vocabulary_size=_SOME_COUNT, lstm_size=1
    )
    network = small_network(backend, case)
    before = network.snapshot()

    def train() -> float:
        network.restore(before)
        return network.train_step(case.symbols, case.targets).loss

    calls: dict[str, Callable[[], object]] = {
        "a prediction": _Prediction(backend, _SOME_COUNT).run,
        "a training step": train,
    }
    for what, call in calls.items():
        _error_of(call, _LOW_LIMIT_BYTES)  # there is none if freed memory is enough
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the error is the result
            return {"raised": f"{what}: {_description(error)}"}
    return {"raised": ""}


def _wrong_errors_of_tensor(backend: Backend[Any]) -> dict[str, str]:
    """What ``tensor()`` raises, or "no error", by the array that does not fit, where that is not MemoryError.

    NumPy, which raises MemoryError, may have to make the first array contiguous; only the backend copies the second.
    """
    makers: dict[str, Callable[[], Array]] = {
        "an array that is not contiguous": lambda: np.broadcast_to(np.float32(0.0), (_COUNT, _COUNT)),
        "a contiguous array": lambda: np.zeros(_CONTIGUOUS_BYTES // 4, np.float32),
    }

    def error_of_copying(make: Callable[[], Array]) -> Exception | None:
        return _error_of(lambda: backend.tensor(make()))

    errors = {what: error_of_copying(make) for what, make in makers.items()}
    return {
        what: "no error" if error is None else _description(error)
        for what, error in errors.items()
        if not isinstance(error, MemoryError)
    }


def _error_of(call: Callable[[], object], more_bytes: int = _LIMIT_BYTES) -> Exception | None:
    """What a call raises where little memory is left."""
    try:
        with memory_limit(more_bytes):
            call()
    except Exception as error:  # noqa: BLE001 - the error is the result
        return error
    return None


def _unrelated_error(backend: Backend[Any], translated: type[Any]) -> dict[str, str]:
    """What the backend makes of an error of the type that it translated, with a text unrelated to memory.

    Empty if no error was translated, or if its type is specific to memory.
    """
    if not issubclass(translated, BaseException) or issubclass(translated, MemoryError):
        return {}
    if _MEMORY_ERROR_NAME.search(translated.__name__):
        return {}
    try:
        other = translated(_PLANTED)
    except TypeError:
        return {}  # its type needs more than a message

    def fail(argument: Any) -> NoReturn:
        raise other

    try:
        backend.compile(fail)(backend.tensor(np.zeros(1)))
    except Exception as raised:  # noqa: BLE001 - the error is the result
        return {"other": type(other).__name__, "raised_for_other": _description(raised)}
    return {"other": type(other).__name__, "raised_for_other": "no error"}


def _description(error: Exception) -> str:
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
