"""The loss of each symbol, and its target."""

from __future__ import annotations

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import DTypeLike

from charkit.testing.mistakes.mistake import Family, Mistake, Observed
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Floats, Ints, Oracle, one_hot, softmax

_NATS = "loss.py: the natural logarithm"
_CLAMPED = (
    "loss.py: -log softmax(logits)[target] from the logits themselves: maximum + log(sum) - logit, unclamped"
)
_SHIFT = "loss.py: subtract the maximum of each row's logits before exp"
_TARGETS = (
    "loss.py: the loss of each time step is that of its own target; the core has already shifted the targets"
)


class _Bits(Oracle):
    def loss(self, logits: Floats, targets: Ints) -> Floats:
        return super().loss(logits, targets) / log(2.0)


class _PreviousTarget(Wrapped):
    def targets_in(self, targets: Ints, symbols: Ints) -> Ints:
        return np.roll(targets, 1, axis=1)


class _NextTarget(Wrapped):
    def targets_in(self, targets: Ints, symbols: Ints) -> Ints:
        return np.roll(targets, -1, axis=1)


class _SymbolsAsTargets(Wrapped):
    def targets_in(self, targets: Ints, symbols: Ints) -> Ints:
        return symbols


# ---- clamped probabilities -----------------------------------------------------------------------------------


class _Clamped(Oracle):
    """The logarithm of a probability clamped away from 0 and 1 (``keras.losses`` uses 1e-7)."""

    epsilon = 0.0

    def clamped(self, probability: Floats) -> Floats:
        return np.clip(probability, self.epsilon, 1.0 - self.epsilon)

    def clamped_slope(self, probability: Floats) -> Floats:
        """The derivative of ``log(clamped)`` by ``log(probability)``: 0 where it is clamped."""
        return np.asarray(self.clamped(probability) == probability, np.float64)

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        return -np.log(self.clamped(self._probability(logits, targets)))

    def loss_slope(self, logits: Floats, targets: Ints) -> Floats:
        kept = self.clamped_slope(self._probability(logits, targets))
        return super().loss_slope(logits, targets) * kept[..., None]

    def _probability(self, logits: Floats, targets: Ints) -> Floats:
        return np.asarray((softmax(logits) * one_hot(targets, logits.shape[-1])).sum(axis=-1))


class _ClampedBelow(_Clamped):
    def clamped(self, probability: Floats) -> Floats:
        return np.maximum(probability, self.epsilon)


class _EpsilonAdded(_Clamped):
    def clamped(self, probability: Floats) -> Floats:
        return probability + self.epsilon

    def clamped_slope(self, probability: Floats) -> Floats:
        return probability / (probability + self.epsilon)


def _clamped(epsilon: float) -> type[Oracle]:
    return type("Clamped", (_Clamped,), {"epsilon": epsilon})


def _clamped_below(epsilon: float) -> type[Oracle]:
    return type("ClampedBelow", (_ClampedBelow,), {"epsilon": epsilon})


def _epsilon_added(epsilon: float) -> type[Oracle]:
    return type("EpsilonAdded", (_EpsilonAdded,), {"epsilon": epsilon})


#: Common clamps of a probability: powers of ten, and the smallest steps and numbers of both types.
_EPSILONS = (
    *(10.0**-exponent for exponent in range(3, 46)),
    *(
        float(getattr(np.finfo(dtype), name))
        for dtype in (np.float32, np.float64)
        for name in ("eps", "tiny")
    ),
)


def _largest_losses(observed: Observed) -> Sequence[float]:
    """The epsilons whose ``-log`` is the largest element of an array, as a clamp makes it."""
    largest = [float(array.max(initial=0.0)) for array in observed.values()]
    return [
        epsilon
        for epsilon in sorted(_EPSILONS, reverse=True)
        if any(abs(value + log(epsilon)) < 1e-3 for value in largest)
    ]


# ---- overflow and underflow ------------------------------------------------------------------------------


class _SumOverflows(Oracle):
    """``log(sum(exp(logits))) - logit``, in the type that the backend computes in."""

    dtype: DTypeLike = np.float64

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        narrow = logits.astype(self.dtype)
        at_target = np.take_along_axis(narrow, targets[..., None], axis=-1)[..., 0]
        return np.asarray(np.log(np.exp(narrow).sum(axis=-1)) - at_target, np.float64)


class _SoftmaxOverflows(_SumOverflows):
    """``-log(exp(logits) / sum(exp(logits)))``."""

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        exponentials = np.exp(logits.astype(self.dtype))
        probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
        at_target = np.take_along_axis(probabilities, targets[..., None], axis=-1)[..., 0]
        return np.asarray(-np.log(at_target), np.float64)


class _SumOverflowsInFloat32(_SumOverflows):
    dtype = np.float32


class _SoftmaxOverflowsInFloat32(_SoftmaxOverflows):
    dtype = np.float32


class _RowsUnderflow(_SumOverflows):
    """The maximum of all logits is subtracted, so that a row far below it underflows."""

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        return super().loss(logits - logits.max(), targets)


class _RowsUnderflowInFloat32(_RowsUnderflow):
    dtype = np.float32


_UNDERFLOW = "an underflow: the maximum of all logits is subtracted before exp, not that of each row"
_OVERFLOW = "an overflow or underflow: the maximum of a row of logits is not subtracted before exp"
MISTAKES = (
    Mistake("bits instead of nats", _NATS, _Bits),
    Mistake(
        "targets shifted by one: each time step uses the target of the previous time step",
        _TARGETS,
        _PreviousTarget,
    ),
    Mistake(
        "targets shifted by one: each time step uses the target of the next time step", _TARGETS, _NextTarget
    ),
    Mistake("targets shifted by one: the symbols themselves are the targets", _TARGETS, _SymbolsAsTargets),
    Mistake(_UNDERFLOW, _SHIFT, _RowsUnderflow),
    Mistake(_UNDERFLOW, _SHIFT, _RowsUnderflowInFloat32),
    Mistake(_OVERFLOW, _SHIFT, _SumOverflows),
    Mistake(_OVERFLOW, _SHIFT, _SumOverflowsInFloat32),
    Mistake(_OVERFLOW, _SHIFT, _SoftmaxOverflows),
    Mistake(_OVERFLOW, _SHIFT, _SoftmaxOverflowsInFloat32),
)
FAMILIES = (
    Family(
        "a clamped loss: probabilities kept at least {value} away from 0 and 1",
        _CLAMPED,
        _clamped,
        _largest_losses,
    ),
    Family("a clamped loss: probabilities of at least {value}", _CLAMPED, _clamped_below, _largest_losses),
    Family("a clamped loss: {value} added to probabilities", _CLAMPED, _epsilon_added, _largest_losses),
)
