"""Stage build: the parts are built, and arrays are copied between NumPy and the framework correctly."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, float_dtype
from charkit.config import OptimizerConfig
from charkit.plugins.failures import describe_error
from charkit.testing.cases import make_case, weights_of
from charkit.testing.registry import check_precisions
from charkit.testing.returned_values import description
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch, difference, require

_TENSOR = (
    "backend.py: tensor() copies its input; floats become float64 if the precision is float64, and float32 for any "
    "other precision, such as bfloat16; int32 and bool stay as they are"
)
_NUMPY = "backend.py: numpy() returns a copy that the caller owns"


@check_precisions("build")
def parts_are_built(subject: Subject, precision: str) -> None:
    """In every declared precision, the four builders, differentiate and compile return functions."""
    backend, model = subject.backend(precision), make_case().model
    forward: Any = lambda *arguments: arguments  # noqa: E731 - stands for a forward pass and is never called
    parts = {
        "build_lstm": backend.build_lstm(model),
        "build_output": backend.build_output(model),
        "build_loss": backend.build_loss(model),
        "build_optimizer": backend.build_optimizer(OptimizerConfig()),
        "differentiate": backend.differentiate(forward),
        "compile": backend.compile(forward),
    }
    for name, part in parts.items():
        look_at = f"backend.py: {name}()"
        require(callable(part), expected=f"{name}() to return a function", got=repr(part), look_at=look_at)


@check_precisions("build")
def weights_out_equal_weights_in(subject: Subject, precision: str) -> None:
    """Weights are copied in and out in canonical shape, unchanged except for one rounding to the weights' dtype."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    for name, array in weights_of(make_case().model).items():
        out = backend.numpy(backend.tensor(array))
        require(
            isinstance(out, np.ndarray)
            and out.shape == array.shape
            and out.dtype == dtype
            and np.array_equal(out, array.astype(dtype)),
            expected=f"{name} unchanged, {dtype} {array.shape}",
            got=description(out) + _error_text(out, array),
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


def _error_text(out: Any, array: Array) -> str:
    """The largest error, if the numbers can be compared."""
    is_comparable = isinstance(out, np.ndarray) and out.dtype.kind in "biuf" and out.shape == array.shape
    return f", off by {difference(out, array):.1e}" if is_comparable else ""


@check_precisions("build")
def arrays_keep_type_and_shape(subject: Subject, precision: str) -> None:
    """Symbols stay int32, masks bool, scalars 0-d; arrays of any item size, strides or byte order keep their values."""
    backend = subject.backend(precision)
    dtype = float_dtype(precision)
    arrays: dict[str, tuple[Array, Any]] = {
        "symbols": (np.arange(6, dtype=np.int32).reshape(2, 3), np.int32),
        "masks": (np.array([[True, False, True]]), np.bool_),
        "a float64 scalar": (np.asarray(0.1), dtype),
        "a float32 array": (np.array([0.1, 0.2], np.float32), dtype),
        "a float16 array": (np.array([0.5, 0.25], np.float16), dtype),
        "a long double array": (np.array([1.0, 2.0], np.longdouble) / 3.0, dtype),
        "a read-only array": (_read_only(np.array([0.5, 0.25])), dtype),
        "transposed symbols": (np.arange(6, dtype=np.int32).reshape(2, 3).T, np.int32),
        "transposed masks": (np.array([[True, True, False], [False, True, False]]).T, np.bool_),
        "a reversed array": (np.array([0.5, 0.25])[::-1], dtype),
        "reversed symbols": (np.arange(6, dtype=np.int32).reshape(2, 3)[:, ::-1], np.int32),
        "reversed masks": (np.array([[True, True, False]])[:, ::-1], np.bool_),
        "a big-endian array": (np.array([0.5, 0.25], ">f8"), dtype),
        "a little-endian array": (np.array([0.5, 0.25], "<f8"), dtype),
        "a transposed slice": (np.arange(24, dtype=np.float32).reshape(4, 6)[::2, 1::2].T, dtype),
    }
    for name, (array, dtype_out) in arrays.items():
        out = _copied(backend, name, array)
        require(
            isinstance(out, np.ndarray)
            and out.shape == array.shape
            and out.dtype == dtype_out
            and np.array_equal(out, array.astype(dtype_out)),
            expected=f"{name}, copied in and out: {np.dtype(dtype_out)} {array.shape} {array.tolist()}",
            got=f"{description(out)} {np.asarray(out).tolist()}",
            look_at=f"{_TENSOR}; or {_NUMPY}",
        )


def _copied(backend: Backend[Any], name: str, array: Array) -> Any:
    """The array, copied in and out. Raises Mismatch if the backend refuses it or warns about it."""
    expected = f"{name}: a tensor, without a warning"
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # those of the framework are not shown to users
        try:
            out = backend.numpy(backend.tensor(array))
        except (TypeError, ValueError) as error:
            raise Mismatch(expected, describe_error(error), _TENSOR) from error
    require(not shown, expected=expected, got="; ".join(str(each.message) for each in shown), look_at=_TENSOR)
    return out


def _read_only(array: Array) -> Array:
    """The array, read-only like a memory map of a file."""
    array.setflags(write=False)
    return array


@check_precisions("build")
def arrays_in_are_copies(subject: Subject, precision: str) -> None:
    """Writing to an array after tensor() leaves the tensor unchanged."""
    backend = subject.backend(precision)
    for dtype in (float_dtype(precision), np.dtype(np.int32), np.dtype(np.bool_)):
        for size in (6, 16384, 600_000):  # frameworks share large and aligned arrays
            for name, view in _VIEWS.items():
                _require_copy(backend, _array_at(0, size, dtype), view, name)
    if precision == "float32":  # frameworks may read large unaligned arrays after the call
        _require_copy(backend, _array_at(16, 4_000_000, np.dtype(np.float32)), _VIEWS["array"], "array")


def _require_copy(backend: Backend[Any], array: Array, view: Callable[[Array], Array], name: str) -> None:
    """Raises Mismatch unless a tensor of a view of the array keeps its values when the array changes."""
    array[:] = 1
    tensor = backend.tensor(view(array))
    array[:] = 0
    found = backend.numpy(tensor)
    require(isinstance(found, np.ndarray), expected="a NumPy array", got=description(found), look_at=_NUMPY)
    require(
        bool(np.all(found == 1)),
        expected=f"a tensor of {array.size} {array.dtype} elements that keeps its values",
        got=f"it changed with the {name} that it was created from",
        look_at=_TENSOR,
    )


class _Mapped(np.ndarray[Any, Any]):
    """Stands for np.memmap, of which asarray() returns another array without a copy."""


#: Arrays that share the memory of another, by description. That of a read-only view can still be changed
#: through the original.
_VIEWS: dict[str, Callable[[Array], Array]] = {
    "array": lambda array: array.view(),
    "memory-mapped array": lambda array: array.view(_Mapped),
    "read-only array": lambda array: _read_only(array.view()),
}


def _array_at(offset: int, size: int, dtype: np.dtype[Any]) -> Array:
    """An array whose address is so many bytes beyond a multiple of 64."""
    buffer = np.empty(size * dtype.itemsize + 64, np.uint8)
    start = (offset - buffer.ctypes.data) % 64
    return buffer[start : start + size * dtype.itemsize].view(dtype)


@check_precisions("build")
def arrays_out_are_copies(subject: Subject, precision: str) -> None:
    """Arrays returned by numpy() can be written to, and doing so leaves the tensor unchanged."""
    backend = subject.backend(precision)
    for array in (np.ones((3, 5)), np.ones((2, 3), np.int32), np.ones(4, np.bool_)):
        tensor = backend.tensor(array)
        out = backend.numpy(tensor)
        require(
            isinstance(out, np.ndarray) and out.flags.writeable,
            expected="a writable array",
            got=f"a read-only one: {description(out)}" if isinstance(out, np.ndarray) else description(out),
            look_at=_NUMPY,
        )
        out[:] = 0
        require(
            bool(np.all(backend.numpy(tensor) == 1)),
            expected=f"a tensor, made from an array of dtype {array.dtype}, that keeps its values",
            got="it changed with the array that numpy() returned",
            look_at=_NUMPY,
        )
