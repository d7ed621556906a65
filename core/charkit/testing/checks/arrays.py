"""Stage build: the parts are made, and arrays cross between NumPy and the framework as they should."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Array, float_dtype
from charkit.config import OptimizerConfig
from charkit.testing.cases import make_case, weights_of
from charkit.testing.registry import check_precisions
from charkit.testing.returned_values import described
from charkit.testing.subject import Subject
from charkit.testing.tolerances import difference, require

_TENSOR = (
    "backend.py: tensor() copies in; floats take the precision that __init__ was given, int32 and bool stay"
)
_NUMPY = "backend.py: numpy() copies out an array that the caller owns"


@check_precisions("build")
def parts_are_built(subject: Subject, precision: str) -> None:
    """In every declared precision the four builders, differentiate and compile give functions."""
    backend, model = subject.backend(precision), make_case().model
    forward: Any = lambda *arguments: arguments  # noqa: E731 - stands for a forward pass that is never run
    made = {
        "build_lstm": backend.build_lstm(model),
        "build_output": backend.build_output(model),
        "build_loss": backend.build_loss(model),
        "build_optimizer": backend.build_optimizer(OptimizerConfig()),
        "differentiate": backend.differentiate(forward),
        "compile": backend.compile(forward),
    }
    for name, part in made.items():
        look_at = f"backend.py: {name}"
        require(callable(part), expected=f"{name}() returns a function", got=repr(part), look_at=look_at)


@check_precisions("build")
def weights_out_equal_weights_in(subject: Subject, precision: str) -> None:
    """Weights come out as they went in, rounded once to the precision, in canonical shape."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    for name, array in weights_of(make_case().model).items():
        out = backend.numpy(backend.tensor(array))
        require(
            isinstance(out, np.ndarray)
            and out.shape == array.shape
            and out.dtype == dtype
            and np.array_equal(out, array.astype(dtype)),
            expected=f"{name} as it went in, {dtype} {array.shape}",
            got=described(out) + _off(out, array),
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


def _off(out: Any, array: Array) -> str:
    """How far the numbers are off, where they can be compared."""
    numbers = isinstance(out, np.ndarray) and out.dtype.kind in "biuf" and out.shape == array.shape
    return f", off by {difference(out, array):.1e}" if numbers else ""


@check_precisions("build")
def arrays_keep_type_and_shape(subject: Subject, precision: str) -> None:
    """Symbols stay int32, masks bool, scalars 0-d; a slice that is not contiguous arrives whole."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    arrays: dict[str, tuple[Array, Any]] = {
        "symbols": (np.arange(6, dtype=np.int32).reshape(2, 3), np.int32),
        "masks": (np.array([[True, False, True]]), np.bool_),
        "a float64 scalar": (np.asarray(0.1), dtype),
        "a float32 array": (np.array([0.1, 0.2], np.float32), dtype),
        "a float16 array": (np.array([0.5, 0.25], np.float16), dtype),
        "a read-only array": (_read_only(np.array([0.5, 0.25])), dtype),
        "transposed symbols": (np.arange(6, dtype=np.int32).reshape(2, 3).T, np.int32),
        "transposed masks": (np.array([[True, True, False], [False, True, False]]).T, np.bool_),
        "a transposed slice": (np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2].T, dtype),
    }
    for name, (array, wanted) in arrays.items():
        out = backend.numpy(backend.tensor(array))
        require(
            isinstance(out, np.ndarray)
            and out.shape == array.shape
            and out.dtype == wanted
            and np.array_equal(out, array.astype(wanted)),
            expected=f"{name}: {np.dtype(wanted)} {array.shape} {array.tolist()}",
            got=f"{described(out)} {np.asarray(out).tolist()}",
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


def _read_only(array: Array) -> Array:
    """The array as a memory map of a file is: not to be written to."""
    array.setflags(write=False)
    return array


@check_precisions("build")
def arrays_in_are_copies(subject: Subject, precision: str) -> None:
    """An array that is written to after it was handed over leaves the tensor as it was."""
    backend = subject.backend(precision)
    for dtype in (float_dtype(precision), np.dtype(np.int32), np.dtype(np.bool_)):
        for size in (6, 16384, 600_000):  # large and aligned ones are where frameworks share memory
            for kind, name in ((np.ndarray, "array"), (_Mapped, "memory-mapped array")):
                array = _aligned(size, dtype)
                array[:] = 1
                tensor = backend.tensor(array.view(kind))
                array[:] = 0
                require(
                    bool(np.all(backend.numpy(tensor) == 1)),
                    expected=f"a {dtype} tensor of {size} that keeps its values",
                    got=f"it changed with the {name} that it was made from",
                    look_at=_TENSOR,
                )


class _Mapped(np.ndarray[Any, Any]):
    """Stands for np.memmap, a view of what is in a file: asarray() makes another array of it, and no copy."""


def _aligned(size: int, dtype: np.dtype[Any]) -> Array:
    """An array whose first byte lies on a 64-byte boundary, where some frameworks take it over uncopied."""
    buffer = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = -buffer.ctypes.data % 64
    return buffer[start : start + size * dtype.itemsize].view(dtype)


@check_precisions("build")
def arrays_out_are_copies(subject: Subject, precision: str) -> None:
    """An array that came out can be written to, and the tensor stays as it was."""
    backend = subject.backend(precision)
    for array in (np.ones((3, 5)), np.ones((2, 3), np.int32), np.ones(4, np.bool_)):
        tensor = backend.tensor(array)
        out = backend.numpy(tensor)
        require(
            isinstance(out, np.ndarray) and out.flags.writeable,
            expected="a writeable array",
            got=f"a read-only one: {described(out)}",
            look_at=_NUMPY,
        )
        out[:] = 0
        require(
            bool(np.all(backend.numpy(tensor) == 1)),
            expected=f"a {array.dtype} tensor that keeps its values",
            got="it changed with the array that came out of it",
            look_at=_NUMPY,
        )
