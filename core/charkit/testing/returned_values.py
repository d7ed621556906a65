"""What a backend returns, checked where the kit receives it: a finding says what was returned instead.

Without it, a wrong type surfaces later, as an exception of NumPy's or as a comparison that can't be explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, Moments, State, float_dtype
from charkit.testing.tolerances import Mismatch, require

_PLAIN = "return the framework's plain arrays, not what its tracing wraps them in"


def copied_out(backend: Backend[Any], tensor: Any, what: str, look_at: str) -> Array:
    """Copies a tensor out. Raises Mismatch unless it is an array of floating-point numbers."""
    try:
        array = backend.numpy(tensor)
    except Exception as error:
        # Not swallowed: what is no tensor at all is reported as that, and anything else is raised again.
        if isinstance(tensor, str | int | float | dict | tuple | list | None):
            expected, got = f"{what}: a tensor of the framework's", described(tensor)
            raise Mismatch(expected, got, f"{look_at}: what it returns") from error
        raise
    require(
        isinstance(array, np.ndarray) and array.dtype.kind == "f",
        expected=f"{what}: an array of {float_dtype(backend.precision)}",
        got=f"numpy() returned {described(array)}",
        look_at=f"{look_at}: {_PLAIN}",
    )
    return array


def of_precision(arrays: Mapping[str, Array], precision: str, look_at: str) -> None:
    """Raises Mismatch unless all arrays have the precision's floating-point type.

    Asked once the numbers are known to be right: a wrong number is the more useful finding.
    """
    wanted = float_dtype(precision)
    for name, array in arrays.items():
        require(
            array.dtype == wanted,
            expected=f"{name} in {wanted}, as weights and state are",
            got=f"numpy() returned {described(array)}",
            look_at=f"{look_at}: what holds or computes it in {array.dtype}, such as a constant of that type",
        )


def scalar_out(backend: Backend[Any], tensor: Any, what: str, look_at: str) -> float:
    """Copies one floating-point number out. Raises Mismatch for anything else."""
    array = backend.numpy(tensor)
    require(
        isinstance(array, np.ndarray) and array.shape == () and array.dtype.kind == "f",
        expected=f"{what}: a scalar of {float_dtype(backend.precision)}",
        got=f"numpy() returned {described(array)}",
        look_at=f"{look_at}: {_PLAIN}",
    )
    return float(array)


def parts_of(returned: Any, names: tuple[str, ...], what: str, look_at: str) -> tuple[Any, ...]:
    """What a function of the backend returned, as a tuple of so many. Raises Mismatch for anything else."""
    require(
        isinstance(returned, tuple | list) and len(returned) == len(names),
        expected=f"{what} returns {', '.join(names)}",
        got=described(returned),
        look_at=look_at,
    )
    return tuple(returned)


def state_of(returned: Any, look_at: str) -> State[Any]:
    """A state that came out of the backend. Raises Mismatch for anything that is no State."""
    require(
        isinstance(returned, State),
        expected="a charkit.backend.State, of hidden and cell",
        got=described(returned),
        look_at=look_at,
    )
    state: State[Any] = returned
    return state


def moments_of(returned: Any, names: Iterable[str], look_at: str) -> Moments[Any]:
    """Moments that came out of the optimizer. Raises Mismatch unless both have every weight's name."""
    require(
        isinstance(returned, Moments),
        expected="charkit.backend.Moments, of exp_avg and exp_avg_sq",
        got=described(returned),
        look_at=look_at,
    )
    return Moments(
        named(returned.exp_avg, names, "exp_avg", look_at),
        named(returned.exp_avg_sq, names, "exp_avg_sq", look_at),
    )


def named(returned: Any, names: Iterable[str], what: str, look_at: str) -> dict[str, Any]:
    """A dictionary that came out of the backend. Raises Mismatch unless it has exactly these names."""
    names = set(names)
    require(
        isinstance(returned, Mapping),
        expected=f"{what}: a dictionary by weight name",
        got=described(returned),
        look_at=look_at,
    )
    missing, unknown = sorted(names - set(returned)), sorted(map(str, set(returned) - names))
    parts = [f"no {', '.join(missing)}"] if missing else []
    parts += [f"also {', '.join(unknown)}"] if unknown else []
    require(not parts, expected=f"{what} of every weight by name", got=" and ".join(parts), look_at=look_at)
    tensors: dict[str, Any] = returned
    return tensors


def described(value: Any) -> str:
    """A value in words: its type, of an array its dtype and shape, and what an array of objects holds."""
    if isinstance(value, np.ndarray):
        held = f" holding <{type(value.flat[0]).__name__}>" if value.dtype.kind == "O" and value.size else ""
        return f"an array of dtype {value.dtype}{held} of shape {value.shape}"
    if value is None:
        return "None"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(one).__name__ for one in value)}"
    return f"an object of type {type(value).__name__}"
