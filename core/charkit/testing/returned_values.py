"""Checks the types of what a backend returns where the kit receives it.

Otherwise a wrong type surfaces later, as an exception of NumPy or as an unexplained difference.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, Moments, State, float_dtype
from charkit.testing.tolerances import Mismatch, require

_PLAIN = "return the framework's plain arrays of floating-point numbers, not the tracers that wrap them"
_SCALAR = "return one floating-point number as a plain 0-d array of the framework, not a tracer that wraps it"


def array_from(backend: Backend[Any], tensor: Any, what: str, look_at: str) -> Array:
    """Copies a tensor out. Raises Mismatch unless it is an array of floating-point numbers."""
    try:
        array = backend.numpy(tensor)
    except Exception as error:
        # Something that is no tensor at all is a finding; any other error is raised again.
        if isinstance(tensor, str | int | float | dict | tuple | list | None):
            expected, got = f"{what}: a tensor of the framework", description(tensor)
            raise Mismatch(expected, got, f"{look_at}: what it returns") from error
        raise
    require(
        isinstance(array, np.ndarray) and array.dtype.kind == "f",
        expected=f"{what}: a {float_dtype(backend.precision)} array",
        got=f"numpy() returned {description(array)}",
        look_at=f"{look_at}: {_PLAIN}",
    )
    return array


def require_precision(arrays: Mapping[str, Array], precision: str, look_at: str) -> None:
    """Raises Mismatch unless all arrays have the precision's floating-point dtype.

    Call it after comparing the numbers: a wrong number is the more useful finding.
    """
    wanted = float_dtype(precision)
    for name, array in arrays.items():
        require(
            array.dtype == wanted,
            expected=f"{name} in {wanted}, the dtype of weights and state",
            got=f"numpy() returned {description(array)}",
            look_at=f"{look_at}: what stores or computes it in {array.dtype}, such as a constant of that dtype",
        )


def scalar_from(backend: Backend[Any], tensor: Any, what: str, look_at: str) -> float:
    """Copies one floating-point number out. Raises Mismatch for anything else."""
    array = backend.numpy(tensor)
    require(
        isinstance(array, np.ndarray) and array.shape == () and array.dtype.kind == "f",
        expected=f"{what}: a {float_dtype(backend.precision)} scalar of shape ()",
        got=f"numpy() returned {description(array)}",
        look_at=f"{look_at}: {_SCALAR}",
    )
    return float(array)


def tuple_from(returned: Any, names: tuple[str, ...], what: str, look_at: str) -> tuple[Any, ...]:
    """The tuple that a function of the backend returned. Raises Mismatch unless it has one item per name."""
    require(
        isinstance(returned, tuple | list) and len(returned) == len(names),
        expected=f"a tuple ({', '.join(names)}) from {what}",
        got=description(returned),
        look_at=look_at,
    )
    return tuple(returned)


def state_from(returned: Any, look_at: str) -> State[Any]:
    """The state that the backend returned. Raises Mismatch for anything but a State."""
    require(
        isinstance(returned, State),
        expected="a charkit.backend.State with hidden and cell",
        got=description(returned),
        look_at=look_at,
    )
    state: State[Any] = returned
    return state


def moments_from(returned: Any, names: Iterable[str], look_at: str) -> Moments[Any]:
    """The moments that the optimizer returned. Raises Mismatch unless both have every weight's name."""
    require(
        isinstance(returned, Moments),
        expected="a charkit.backend.Moments with exp_avg and exp_avg_sq",
        got=description(returned),
        look_at=look_at,
    )
    return Moments(
        dictionary_from(returned.exp_avg, names, "exp_avg", look_at),
        dictionary_from(returned.exp_avg_sq, names, "exp_avg_sq", look_at),
    )


def dictionary_from(returned: Any, names: Iterable[str], what: str, look_at: str) -> dict[str, Any]:
    """The dictionary that the backend returned. Raises Mismatch unless it has exactly these names."""
    names = set(names)
    require(
        isinstance(returned, Mapping),
        expected=f"{what}: a dictionary keyed by weight name",
        got=description(returned),
        look_at=look_at,
    )
    missing, unknown = sorted(names - set(returned)), sorted(map(str, set(returned) - names))
    differences = [f"no entry for {', '.join(missing)}"] if missing else []
    differences += [f"unknown names: {', '.join(unknown)}"] if unknown else []
    require(
        not differences,
        expected=f"{what}: one entry for each weight name and no others",
        got="; ".join(differences),
        look_at=look_at,
    )
    tensors: dict[str, Any] = returned
    return tensors


def description(value: Any) -> str:
    """A value in words: its type, and for an array its dtype and shape."""
    if isinstance(value, np.ndarray):
        content = (
            f" holding <{type(value.flat[0]).__name__}>" if value.dtype.kind == "O" and value.size else ""
        )
        return f"an array of dtype {value.dtype} and shape {value.shape}{content}"
    if value is None:
        return "None"
    if isinstance(value, tuple | list) and not value:
        return f"an empty {type(value).__name__}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(item).__name__ for item in value)}"
    return f"an object of type {type(value).__name__}"
