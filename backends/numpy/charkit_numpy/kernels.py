"""The pointwise part of a time step in compiled loops: each reads and writes its arrays once.

Numba compiles them when this module is first imported, for float32, and keeps the result beside this file or in its
own cache, as Python does with its bytecode. They release the global interpreter lock. The gates lie side by side in
the canonical order i, f, g, o, so that the recurrent product of a time step is one matrix product, forward and back.

The loops over units have few arrays each: with more, LLVM gives up proving that they don't overlap, and computes one
element at a time, which takes three times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

#: Products may be fused with additions, which rounds once instead of twice; infinity and NaN keep their meaning.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}

_HALF, _ONE, _TWO = np.float32(0.5), np.float32(1), np.float32(2)
#: From here on, the tanh of a float32 rounds to 1.
_SATURATED = np.float32(9.1)
#: Added to a float32 below 2**22, it leaves the nearest whole number in the last bits.
_ROUNDING = np.float32(1.5 * 2**23)
_TWO_BY_LN2 = np.float32(2 / np.log(2))
#: ln 2 in two parts; small multiples of the first are exact (Cody and Waite, 1980).
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(np.log(2) - 0.693359375)
#: ``(exp(r) - 1 - r) / r**2`` for ``|r| <= ln(2)/2``: a fit of least maximum error, 1.3e-8 of ``exp(r) - 1``.
_C0, _C1, _C2 = np.float32(0.49999997), np.float32(0.16666543), np.float32(0.041667200)
_C3, _C4 = np.float32(0.0083665960), np.float32(0.0013882504)
#: Where the exponent of a float32 begins, and the exponent of 1.
_EXPONENT, _EXPONENT_OF_ONE = np.int32(23), np.int32(127 << 23)


def _compiled(*arguments: str) -> Callable[[FunctionT], FunctionT]:
    """Compiles the function for these types of its arguments; it returns nothing."""

    def compile_function(function: FunctionT) -> FunctionT:
        signature = f"void({', '.join(arguments)})"
        try:
            return cast(FunctionT, numba.njit(signature, cache=True, **_OPTIONS)(function))
        except RuntimeError:  # neither this folder nor the user's cache can be written
            return cast(FunctionT, numba.njit(signature, **_OPTIONS)(function))

    return compile_function


def _inlined(function: FunctionT) -> FunctionT:
    return cast(FunctionT, numba.njit(inline="always", **_OPTIONS)(function))


_MATRIX, _VECTOR, _SYMBOLS = "float32[:, ::1]", "float32[::1]", "int64[::1]"


@_inlined
def _tanh(x: Any) -> Any:
    """``e / (e + 2)`` with ``e = exp(2|x|) - 1``: within 2.3 units of the last place, and odd."""
    magnitude = min(abs(x), _SATURATED)
    rounded = magnitude * _TWO_BY_LN2 + _ROUNDING
    exponent = rounded - _ROUNDING
    rest = (_TWO * magnitude - exponent * _LN2_HIGH) - exponent * _LN2_LOW
    less_one = rest + rest * rest * (_C0 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * _C4))))
    bits = np.int32(np.float32(rounded).view(np.int32) << _EXPONENT)
    power = np.int32(bits + _EXPONENT_OF_ONE).view(np.float32)
    less_one = power * less_one + (power - _ONE)
    return np.copysign(less_one / (less_one + _TWO), x)


@_inlined
def _activate(gates: Array, before: Array, cell: Array, tanh_cell: Array, hidden: Array) -> None:
    """One sequence's gates after their tanh: those of the sigmoids are completed; then cell and hidden output."""
    unit = hidden.shape[0]
    for u in range(unit):
        gates[u] = _HALF * gates[u] + _HALF
        gates[unit + u] = _HALF * gates[unit + u] + _HALF
        cell[u] = gates[unit + u] * before[u] + gates[u] * gates[2 * unit + u]
    for u in range(unit):
        gates[3 * unit + u] = _HALF * gates[3 * unit + u] + _HALF
        tanh_cell[u] = _tanh(cell[u])
        hidden[u] = gates[3 * unit + u] * tanh_cell[u]


@_compiled(_MATRIX, _SYMBOLS, _MATRIX, _MATRIX, _MATRIX, _MATRIX, _MATRIX)
def step_of_symbols(
    gates: Array, symbols: Array, rows: Array, before: Array, cell: Array, tanh_cell: Array, hidden: Array
) -> None:
    """A time step of layer 0, whose input product is a row of ``rows (symbol, 4*unit)``.

    ``gates (batch, 4*unit)`` hold the recurrent product and are left after their nonlinearities; ``before``, ``cell``,
    ``tanh_cell`` and ``hidden`` are ``(batch, unit)``.
    """
    for b in range(gates.shape[0]):
        gate, row = gates[b], rows[symbols[b]]
        for k in range(gate.shape[0]):
            gate[k] = _tanh(gate[k] + row[k])
        _activate(gate, before[b], cell[b], tanh_cell[b], hidden[b])


@_compiled(_MATRIX, _MATRIX, _VECTOR, _MATRIX, _MATRIX, _MATRIX, _MATRIX)
def step_of_features(
    gates: Array, recurrent: Array, bias: Array, before: Array, cell: Array, tanh_cell: Array, hidden: Array
) -> None:
    """A time step above layer 0: ``gates (batch, 4*unit)`` hold the input product; otherwise as above."""
    for b in range(gates.shape[0]):
        gate, product = gates[b], recurrent[b]
        for k in range(gate.shape[0]):
            gate[k] = _tanh(gate[k] + product[k] + bias[k])
        _activate(gate, before[b], cell[b], tanh_cell[b], hidden[b])


@_compiled(_MATRIX, _MATRIX, _MATRIX, _MATRIX, _MATRIX, _MATRIX)
def step_back(
    gates: Array, gradient: Array, from_next: Array, before: Array, tanh_cell: Array, cell: Array
) -> None:
    """A time step backward: the gradient of the pre-activations is written over ``gates (batch, 4*unit)``.

    ``gradient`` and ``from_next``, each ``(batch, unit)``, are those of the hidden output from above and from the next
    time step; ``cell`` is that of the cell, and is carried to the time step before.
    """
    unit = gradient.shape[1]
    for b in range(gradient.shape[0]):
        gate, above, later = gates[b], gradient[b], from_next[b]
        previous, tanh, carried = before[b], tanh_cell[b], cell[b]
        for u in range(unit):
            hidden = above[u] + later[u]
            i, f, g, o = gate[u], gate[unit + u], gate[2 * unit + u], gate[3 * unit + u]
            into_cell = carried[u] + hidden * o * (_ONE - tanh[u] * tanh[u])
            gate[u] = into_cell * g * i * (_ONE - i)
            gate[unit + u] = into_cell * previous[u] * f * (_ONE - f)
            gate[2 * unit + u] = into_cell * i * (_ONE - g * g)
            gate[3 * unit + u] = hidden * tanh[u] * o * (_ONE - o)
            carried[u] = into_cell * f


@_compiled(_MATRIX, _SYMBOLS, _MATRIX)
def add_by_symbol(deltas: Array, symbols: Array, sums: Array) -> None:
    """Adds each row of ``deltas (time*batch, 4*unit)`` to its symbol's row of ``sums (symbol, 4*unit)``."""
    for r in range(deltas.shape[0]):
        total, delta = sums[symbols[r]], deltas[r]
        for k in range(total.shape[0]):
            total[k] += delta[k]


@_compiled(_VECTOR, _VECTOR, _VECTOR, _VECTOR, *["float32"] * 9)
def update_with_adam(
    weight: Array,
    mean: Array,
    square: Array,
    gradient: Array,
    scale: Any,
    beta1: Any,
    rest1: Any,
    beta2: Any,
    rest2: Any,
    correction2: Any,
    epsilon: Any,
    rate: Any,
    decay: Any,
) -> None:
    """One step of AdamW on a flat part of a weight, its moments and its gradient, which is scaled first.

    ``rest1`` and ``rest2`` are 1 - beta1 and 1 - beta2, ``rate`` is the learning rate over the first bias correction,
    and ``decay`` is the share of the weight that is taken off.
    """
    for k in range(weight.shape[0]):
        clipped = gradient[k] * scale
        mean[k] = beta1 * mean[k] + rest1 * clipped
        square[k] = beta2 * square[k] + rest2 * (clipped * clipped)
        step = mean[k] / (np.sqrt(square[k] / correction2) + epsilon) * rate
        weight[k] -= step + decay * weight[k]
