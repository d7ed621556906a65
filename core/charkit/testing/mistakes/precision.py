"""float32 instead of float64: numbers that are rounded before the computation."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit.testing.mistakes.betas import OtherBetas
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle, Step

_TENSOR = "backend.py: tensor() keeps float64 arrays unchanged if the precision is float64"
_RATES = "backend.py: tensor() keeps float64 scalars unchanged too; optimizer.py: Rates are not rounded"
_CONSTANTS = "optimizer.py: values in OptimizerConfig are not rounded to float32"
_SCALE = "lstm.py: 1 / (1 - dropout) is not rounded to float32"


def _rounded(array: Any) -> Floats:
    return np.asarray(array).astype(np.float32).astype(np.float64)


def _all_rounded(arrays: Arrays) -> Arrays:
    return {name: _rounded(array) for name, array in arrays.items()}


class _ArraysIn(Wrapped):
    """The caller's arrays are rounded; what the backend itself returned is not rounded again."""

    def _returned(self) -> list[Any]:
        returned: list[Any] = self.__dict__.setdefault("_values", [])
        return returned

    def _is_returned(self, value: Any) -> bool:
        return any(value is returned for returned in self._returned())

    def weights_in(self, weights: Arrays) -> Arrays:
        return weights if self._is_returned(weights) else _all_rounded(weights)

    def state_in(self, state: State[Floats]) -> State[Floats]:
        return state if self._is_returned(state) else State(_rounded(state.hidden), _rounded(state.cell))

    def state_out(self, after: State[Floats], before: State[Floats]) -> State[Floats]:
        self._returned().append(after)
        return after

    def step(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Step:
        result = super().step(weights, symbols, targets, state, masks)
        self._returned().append(result.gradients)
        return result

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        if not self._is_returned(moments):
            moments = Moments(_all_rounded(moments.exp_avg), _all_rounded(moments.exp_avg_sq))
        gradients = gradients if self._is_returned(gradients) else _all_rounded(gradients)
        after, moments, norm = super().update(
            self.weights_in(weights), moments, gradients, self.rate_in(learning_rate), step
        )
        self._returned().extend((after, moments))
        return after, moments, norm

    def rate_in(self, learning_rate: float) -> float:
        return learning_rate


class _Rates(Oracle):
    """The learning rate and the bias corrections are rounded."""

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, float(np.float32(learning_rate)), step)

    def corrections(self, step: int) -> tuple[float, float]:
        correction1, correction2 = super().corrections(step)
        return float(np.float32(correction1)), float(np.float32(correction2))


class _AllIn(_ArraysIn, _Rates):
    """Arrays and rates: everything that passes through ``tensor()``."""

    def rate_in(self, learning_rate: float) -> float:
        return float(np.float32(learning_rate))


class _Constants(OtherBetas):
    """Betas, epsilon and the bound of the clip are rounded; the rates are not."""

    def betas(self) -> tuple[float, float]:
        return float(np.float32(self.optimizer.beta1)), float(np.float32(self.optimizer.beta2))

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        correction1, correction2 = self.corrections(step)
        root = np.sqrt(exp_avg_sq / correction2) + float(np.float32(self.optimizer.epsilon))
        return np.asarray(learning_rate * exp_avg / correction1 / root)

    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        scale = min(1.0, float(np.float32(self.optimizer.clip_threshold)) / norm) if norm > 0 else 1.0
        return {name: gradient * scale for name, gradient in gradients.items()}


class _DropoutScale(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        return factors if masks is None else _rounded(factors)


_IN = "inputs rounded to float32"
MISTAKES = (
    Mistake(_IN, _TENSOR, _ArraysIn),
    Mistake(_IN, _TENSOR, _AllIn),
    Mistake("rates rounded to float32", _RATES, _Rates),
    Mistake("constants of the optimizer rounded to float32", _CONSTANTS, _Constants),
    Mistake("the dropout scale rounded to float32", _SCALE, _DropoutScale),
)
