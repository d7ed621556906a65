"""Planted faults of bfloat16: what it must round and does not, and what it must not round and does."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.backend import State
from charkit_numpy.backend import NumpyBackend
from charkit_numpy.tape import active_tape

#: The NumPy backend's outputs of a layer are ``(time, batch, unit)``.
_TIME_OF_FEATURES = 0


def rounded(array: Any) -> Any:
    """float32 numbers with the digits of bfloat16."""
    bits = np.ascontiguousarray(array).view(np.uint32)
    return ((bits + np.uint32(0x8000)) & np.uint32(0xFFFF0000)).view(np.float32)


class Rounding(NumpyBackend):
    """In bfloat16, rounds the operands of products, and the output bias or the logits."""

    precisions = frozenset({"float32", "bfloat16"})
    rounds_bias = rounds_logits = False

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)
        return lambda weights, *rest: inner(self._operands(weights), *rest)

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(weights: Any, features: Any) -> Any:
            weights = self._operands(weights)
            if self._rounds and self.rounds_bias:
                weights["output.bias"] = rounded(weights["output.bias"])
            logits = inner(weights, features)
            return rounded(logits) if self._rounds and self.rounds_logits else logits

        return output

    def _operands(self, weights: Any) -> dict[str, Any]:
        return {
            name: rounded(array) if self._rounds and "weight" in name else array
            for name, array in weights.items()
        }

    @property
    def _rounds(self) -> bool:
        return self.precision == "bfloat16"


class RoundsBias(Rounding):
    rounds_bias = True


class RoundsLogits(Rounding):
    rounds_logits = True


class RoundsSequencesOnly(Rounding):
    """In bfloat16, single steps have operands of float32."""

    most_streams = 1 << 16

    def build_lstm(self, model: Any) -> Any:
        rounded, exact = super().build_lstm(model), NumpyBackend.build_lstm(self, model)

        def lstm(weights: Any, symbols: Any, *rest: Any) -> Any:
            is_step = active_tape() is None and symbols.shape[1] == 1 and len(symbols) <= self.most_streams
            return (exact if is_step else rounded)(weights, symbols, *rest)

        return lstm


class RoundsStreamsOnly(RoundsSequencesOnly):
    """In bfloat16, the single steps of one stream have operands of float32."""

    most_streams = 1


class RoundsScalars(Rounding):
    """Rounds single numbers, such as the rates of the optimizer."""

    def tensor(self, array: Any) -> Any:
        tensor = super().tensor(array)
        rounds = self._rounds and tensor.ndim == 0 and tensor.dtype == np.float32
        return rounded(tensor.reshape(1)).reshape(()) if rounds else tensor


class RoundsLogitsInTraining(Rounding):
    """Rounds the logits of a training step."""

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(weights: Any, features: Any) -> Any:
            logits = inner(weights, features)
            if self._rounds and active_tape() is not None:
                logits[...] = rounded(logits)
            return logits

        return output


class RoundsProducts(Rounding):
    """Rounds the product of the output layer, to which the bias is then added."""

    in_training_only = False

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(weights: Any, features: Any) -> Any:
            logits, bias = inner(weights, features), weights["output.bias"]
            if self._rounds and (active_tape() is not None or not self.in_training_only):
                logits[...] = rounded(logits - bias) + bias
            return logits

        return output


class RoundsProductsInTraining(RoundsProducts):
    in_training_only = True


class RoundsCells(Rounding):
    """Outside of training, rounds the cells at each time step."""

    def build_lstm(self, model: Any) -> Any:
        inner = super().build_lstm(model)

        def lstm(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
            if active_tape() is not None or not self._rounds:
                return inner(weights, symbols, state, masks)
            features = []
            for step in range(symbols.shape[1]):
                now, state = inner(weights, symbols[:, step : step + 1], state, masks)
                state = State(state.hidden, rounded(state.cell))
                features.append(now)
            return np.concatenate(features, axis=_TIME_OF_FEATURES), state

        return lstm


class RoundsGradientsOfBiases(Rounding):
    """Rounds what is added up for the gradient of a bias."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            gradients, *rest = inner(*arguments)
            if self._rounds:
                gradients["lstm.0.bias"] = rounded(gradients["lstm.0.bias"])
            return gradients, *rest

        return backward


class RoundsGradientsOfSingleSteps(Rounding):
    """Rounds the gradient of the recurrent weights if there is one time step."""

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(weights: Any, symbols: Any, *arguments: Any) -> Any:
            gradients, *rest = inner(weights, symbols, *arguments)
            if self._rounds and symbols.shape[1] == 1:
                gradients["lstm.0.weight_hh"] = rounded(gradients["lstm.0.weight_hh"])
            return gradients, *rest

        return backward


class RoundsWeights(Rounding):
    """Rounds the weights after each update."""

    def build_optimizer(self, optimizer: Any) -> Any:
        inner = super().build_optimizer(optimizer)

        def update(*arguments: Any) -> Any:
            weights, moments, norm = inner(*arguments)
            if self._rounds:
                weights = {name: rounded(array) for name, array in weights.items()}
            return weights, moments, norm

        return update


_ROUNDS = ("bfloat16_is_not_float32",)
_STEPS = ("ten_steps_of_adam",)

#: What it is, the backend, the checks that must fail, and where the finding must point.
FAULTS: tuple[tuple[str, type[NumpyBackend], tuple[str, ...], str], ...] = (
    ("a rounded output bias", RoundsBias, ("logits_are_not_rounded",), "output.py"),
    (
        "logits rounded in training",
        RoundsLogitsInTraining,
        ("logits_of_training_are_not_rounded",),
        "output.py",
    ),
    (
        "a product of the output layer that is rounded before the bias is added",
        RoundsProducts,
        ("logits_are_not_rounded",),
        "not the product",
    ),
    (
        "a product of the output layer that is rounded in training",
        RoundsProductsInTraining,
        ("logits_of_training_are_not_rounded",),
        "not the product",
    ),
    (
        "gradients of biases from rounded gates",
        RoundsGradientsOfBiases,
        ("factors_of_the_backward_pass_are_not_rounded",),
        "the gates and cells",
    ),
    (
        "gradients of single time steps that are rounded",
        RoundsGradientsOfSingleSteps,
        ("gradients_are_not_rounded",),
        "not the product",
    ),
    (
        "cells that are rounded outside of training",
        RoundsCells,
        ("cells_are_not_rounded",),
        "the cell is float32",
    ),
    ("rounded logits", RoundsLogits, ("logits_are_not_rounded",), "output.py"),
    ("single steps that are not rounded", RoundsSequencesOnly, _ROUNDS, "bfloat16 operands"),
    ("steps of one stream that are not rounded", RoundsStreamsOnly, _ROUNDS, "bfloat16 operands"),
    (
        "rates in bfloat16",
        RoundsScalars,
        ("first_step_of_adam", *_STEPS),
        "rates rounded to bfloat16",
    ),
    ("weights in bfloat16", RoundsWeights, _STEPS, "weights rounded to bfloat16"),
)
