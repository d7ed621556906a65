"""Names the mistake behind wrong numbers, by making each known one on the oracle and comparing.

A mistake is the oracle with one formula changed. One that reproduces every array of a failed comparison,
within the bound that the right numbers missed, is named. So a name is a finding, not a guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import permutations
from math import log, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments, State
from charkit.testing.judge import BOUNDS, Compute, difference
from charkit.testing.oracle import Arrays, Floats, Ints, Oracle, Result

KNOWN_ORDERS = {"igfo": "TF1's", "iofg": "ONNX's"}


class Mistake(NamedTuple):
    """A known mistake: what it looks like, where it is made, and the oracle that makes it."""

    name: str
    where: str
    oracle: type[Oracle]


def diagnose(
    observed: Mapping[str, Any], compute: Compute, gaps: Mapping[str, float], *, precision: str, limit: float
) -> str:
    """Says what the numbers look like and where to look, or nothing if no known mistake explains them."""
    for mistake in mistakes():
        with np.errstate(all="ignore"):  # some mistakes divide by zero
            wrong = compute(mistake.oracle)
        if all(difference(observed[name], array) <= limit for name, array in _same_shapes(observed, wrong)):
            return f"it looks like {mistake.name}; see {mistake.where}"
    if precision == "float64" and max(gaps.values()) <= BOUNDS["float32"]["gradients"]:
        return "it looks like float32 arithmetic where float64 was asked; see tensor() and every constant"
    if not all(np.isfinite(np.asarray(observed[name], np.float64)).all() for name in gaps):
        return "it looks like an overflow or a division by zero: the numbers are not finite"
    return ""


def _same_shapes(
    observed: Mapping[str, Any], wrong: Mapping[str, ArrayLike]
) -> Iterator[tuple[str, ArrayLike]]:
    return ((name, array) for name, array in wrong.items() if np.shape(observed[name]) == np.shape(array))


# ---- gates and biases ----------------------------------------------------------------------------------


def _blocks(arrays: Arrays, order: str, into: str) -> Arrays:
    """The LSTM's arrays with the gate blocks of ``order`` rearranged to those of ``into``."""
    moved = dict(arrays)
    for name, array in arrays.items():
        if name.startswith("lstm."):
            block = dict(zip(order, np.split(array, 4), strict=True))
            moved[name] = np.concatenate([block[gate] for gate in into])
    return moved


def _gate_orders() -> Iterator[Mistake]:
    for letters in permutations("ifgo"):
        order = "".join(letters)
        if order == "ifgo":
            continue
        known = f" ({KNOWN_ORDERS[order]})" if order in KNOWN_ORDERS else ""
        spaced = ", ".join(order)
        yield Mistake(
            f"a swapped gate order: weights read as {spaced}{known}",
            "lstm.py: the gates are i, f, g, o",
            _reading(order),
        )
        yield Mistake(
            f"a swapped gate order on the way out: gradients in the order {spaced}{known}",
            "lstm.py and differentiate(): gradients come back with the gates i, f, g, o",
            _returning(order),
        )


def _reading(order: str) -> type[Oracle]:
    class Reading(Oracle):
        def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
            return super().forward(_blocks(weights, order, "ifgo"), symbols, state, masks)

        def gradients(
            self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
        ) -> Arrays:
            right = super().gradients(_blocks(weights, order, "ifgo"), symbols, targets, state, masks)
            return _blocks(right, "ifgo", order)

    return Reading


def _returning(order: str) -> type[Oracle]:
    class Returning(Oracle):
        def gradients(
            self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
        ) -> Arrays:
            return _blocks(super().gradients(weights, symbols, targets, state, masks), "ifgo", order)

    return Returning


def _is_lstm_bias(name: str) -> bool:
    return name.startswith("lstm.") and name.endswith(".bias")


class _BiasAdded(Oracle):
    """The forward pass with something added to the LSTM's biases."""

    def added(self, bias: Floats) -> Floats:
        """What this mistake adds to one layer's bias, ``(4*unit,)``; each mistake below says it."""
        raise NotImplementedError(f"{type(self).__name__} must say what it adds")

    def with_added(self, weights: Arrays) -> Arrays:
        return {
            name: array + self.added(array) if _is_lstm_bias(name) else array
            for name, array in weights.items()
        }

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        return super().forward(self.with_added(weights), symbols, state, masks)

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        return super().gradients(self.with_added(weights), symbols, targets, state, masks)


class _ForgetBias(_BiasAdded):
    def added(self, bias: Floats) -> Floats:
        return np.repeat([0.0, 1.0, 0.0, 0.0], len(bias) // 4)


class _BiasTwice(_BiasAdded):
    def added(self, bias: Floats) -> Floats:
        return bias


class _BiasGradientTwice(Oracle):
    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        right = super().gradients(weights, symbols, targets, state, masks)
        return {name: 2.0 * array if _is_lstm_bias(name) else array for name, array in right.items()}


class _BiasTwiceThroughout(_BiasGradientTwice, _BiasTwice):
    """The bias added twice, and so its gradient doubled."""


class _BiasMovedTwice(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        for name in filter(_is_lstm_bias, weights):
            after[name] = weights[name] + 2.0 * (after[name] - weights[name])
        return after, moments, norm


class _BiasInNormTwice(_BiasMovedTwice):
    def norm(self, gradients: Arrays) -> float:
        biases = {name: gradients[name] for name in filter(_is_lstm_bias, gradients)}
        return sqrt(super().norm(gradients) ** 2 + super().norm(biases) ** 2)


# ---- state and dropout ---------------------------------------------------------------------------------


class _OtherState(Oracle):
    """The forward pass with the state changed on its way in and on its way out."""

    def before(self, state: State[Floats]) -> State[Floats]:
        return state

    def after(self, state: State[Floats]) -> State[Floats]:
        return state

    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        result = super().forward(weights, symbols, self.before(state), masks)
        return Result(result.logits, self.after(result.state))

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        return super().gradients(weights, symbols, targets, self.before(state), masks)


class _StateDropped(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(np.zeros_like(state.hidden), np.zeros_like(state.cell))


class _StateZeroedOut(_StateDropped):
    def before(self, state: State[Floats]) -> State[Floats]:
        return state

    def after(self, state: State[Floats]) -> State[Floats]:
        return super().before(state)


class _LayersReversed(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(state.hidden[::-1], state.cell[::-1])

    after = before


class _LayersReversedIn(_LayersReversed):
    def after(self, state: State[Floats]) -> State[Floats]:
        return state


class _LayersReversedOut(_LayersReversed):
    def before(self, state: State[Floats]) -> State[Floats]:
        return state


class _HiddenAndCellSwapped(_OtherState):
    def before(self, state: State[Floats]) -> State[Floats]:
        return State(state.cell, state.hidden)

    after = before


class _StateKept(Oracle):
    def forward(self, weights: Arrays, symbols: Ints, state: State[Floats], masks: Any = None) -> Result:
        return Result(super().forward(weights, symbols, state, masks).logits, state)


class _CarriedStateMasked(Oracle):
    def carried(self, hidden: Floats, factor: Floats) -> Floats:
        return hidden * factor


class _LastLayerNotDropped(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        factors[-1] = 1.0
        return factors


class _NotScaled(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        factors = super().dropout_factors(masks, shape)
        return factors if masks is None else np.asarray(masks, np.float64)


class _MasksIgnored(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None, shape)


class _MasksInverted(Oracle):
    def dropout_factors(self, masks: Any, shape: tuple[int, ...]) -> Floats:
        return super().dropout_factors(None if masks is None else ~masks, shape)


# ---- loss and gradients --------------------------------------------------------------------------------


class _Bits(Oracle):
    def loss(self, logits: Floats, target: int) -> float:
        return super().loss(logits, target) / log(2.0)


class _SumOverAll(Oracle):
    def count(self, symbols: Ints) -> int:
        return int(symbols.size)

    def gradients(
        self, weights: Arrays, symbols: Ints, targets: Ints, state: State[Floats], masks: Any = None
    ) -> Arrays:
        right = super().gradients(weights, symbols, targets, state, masks)
        return {name: self.count(symbols) * array for name, array in right.items()}


class _SumOverTime(_SumOverAll):
    def count(self, symbols: Ints) -> int:
        return int(symbols.shape[1])


class _SumOverBatch(_SumOverAll):
    def count(self, symbols: Ints) -> int:
        return int(symbols.shape[0])


# ---- clipping and Adam ---------------------------------------------------------------------------------


class _NotClipped(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        return gradients


class _AlwaysScaled(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        scale = self.optimizer.clip_threshold / norm if norm > 0 else 1.0
        return {name: gradient * scale for name, gradient in gradients.items()}


class _ClippedWithEpsilon(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        scale = min(1.0, self.optimizer.clip_threshold / (norm + 1e-6))
        return {name: gradient * scale for name, gradient in gradients.items()}


class _ClippedPerArray(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        clipped: Arrays = {}
        for name, gradient in gradients.items():
            clipped |= super().clipped({name: gradient}, self.norm({name: gradient}))
        return clipped


class _ClippedByValue(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        bound = self.optimizer.clip_threshold
        return {name: np.clip(gradient, -bound, bound) for name, gradient in gradients.items()}


class _ZeroClipsAll(Oracle):
    def clipped(self, gradients: Arrays, norm: float) -> Arrays:
        if self.optimizer.grad_clip:
            return super().clipped(gradients, norm)
        return {name: 0.0 * gradient for name, gradient in gradients.items()}


class _NormAfterClipping(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        return after, moments, min(norm, self.optimizer.clip_threshold)


class _Adam(Oracle):
    """Adam with another epsilon, in another place, or without a bias correction."""

    epsilon: float | None = None
    inside_root = inside_correction = False
    corrects_mean = corrects_square = True

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        epsilon = self.optimizer.epsilon if self.epsilon is None else self.epsilon
        correction1 = 1.0 - self.optimizer.beta1**step if self.corrects_mean else 1.0
        correction2 = 1.0 - self.optimizer.beta2**step if self.corrects_square else 1.0
        if self.inside_correction:
            rate = learning_rate * sqrt(correction2) / correction1
            return np.asarray(rate * exp_avg / (np.sqrt(exp_avg_sq) + epsilon))
        square = exp_avg_sq / correction2
        root = np.sqrt(square + epsilon) if self.inside_root else np.sqrt(square) + epsilon
        return np.asarray(learning_rate * exp_avg / correction1 / root)


class _EpsilonInCorrection(_Adam):
    inside_correction = True


class _KerasEpsilon(_EpsilonInCorrection):
    epsilon = 1e-7


class _LargeEpsilon(_Adam):
    epsilon = 1e-7


class _EpsilonInRoot(_Adam):
    inside_root = True


class _NoEpsilon(_Adam):
    epsilon = 0.0


class _NoCorrections(_Adam):
    corrects_mean = corrects_square = False


class _NoFirstCorrection(_Adam):
    corrects_mean = False


class _NoSecondCorrection(_Adam):
    corrects_square = False


class _OwnStepCount(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, learning_rate, 1)


class _OwnLearningRate(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, self.optimizer.learning_rate, step)


class _PlainDescent(_Adam):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return learning_rate * exp_avg / (1.0 - self.optimizer.beta1**step)


_LSTM_BIAS = "lstm.py: b is one vector; keep a framework's second bias at zero and frozen"
_LSTM_STATE = "lstm.py: the state that is handed in, (layer, batch, unit), hidden before cell"
_LSTM_DROPOUT = "lstm.py: every layer's output is h * mask / (1 - dropout); the carried h is not masked"
_MEAN = "differentiate(): the gradient is that of the mean over batch and time"
_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm), no epsilon"
_ADAM = "optimizer.py: learning_rate * m_hat / (sqrt(v_hat) + epsilon), corrections and rate from Rates"

_NAMED = (
    Mistake("a doubled bias: it is added twice in the forward pass", _LSTM_BIAS, _BiasTwice),
    Mistake("a doubled bias: added twice, and its gradient doubled", _LSTM_BIAS, _BiasTwiceThroughout),
    Mistake("a doubled bias: its gradient is doubled", _LSTM_BIAS, _BiasGradientTwice),
    Mistake("a doubled bias: a second trainable bias moves it twice", _LSTM_BIAS, _BiasMovedTwice),
    Mistake("a doubled bias: a second trainable bias, also in the norm", _LSTM_BIAS, _BiasInNormTwice),
    Mistake("a forget bias of 1 added at run time (TF1's)", _LSTM_BIAS, _ForgetBias),
    Mistake("a dropped state: every call starts from zero", _LSTM_STATE, _StateDropped),
    Mistake("a dropped state: the state that comes out is zero", _LSTM_STATE, _StateZeroedOut),
    Mistake("a state that comes out as it went in", _LSTM_STATE, _StateKept),
    Mistake("swapped layers of the state", _LSTM_STATE, _LayersReversed),
    Mistake("swapped layers of the state that goes in", _LSTM_STATE, _LayersReversedIn),
    Mistake("swapped layers of the state that comes out", _LSTM_STATE, _LayersReversedOut),
    Mistake("hidden and cell swapped", _LSTM_STATE, _HiddenAndCellSwapped),
    Mistake("dropout on the carried state", _LSTM_DROPOUT, _CarriedStateMasked),
    Mistake("no dropout on the last layer (torch.nn.LSTM's)", _LSTM_DROPOUT, _LastLayerNotDropped),
    Mistake("a missing dropout scale 1 / (1 - dropout)", _LSTM_DROPOUT, _NotScaled),
    Mistake("masks that are ignored", _LSTM_DROPOUT, _MasksIgnored),
    Mistake("inverted masks: true must keep", _LSTM_DROPOUT, _MasksInverted),
    Mistake("bits where nats were asked", "loss.py: the natural logarithm", _Bits),
    Mistake("the gradient of the sum over batch and time", _MEAN, _SumOverAll),
    Mistake("the gradient of a sum over time", _MEAN, _SumOverTime),
    Mistake("the gradient of a sum over the batch", _MEAN, _SumOverBatch),
    Mistake("a missing clip", _CLIP, _NotClipped),
    Mistake("a clip that also enlarges small gradients", _CLIP, _AlwaysScaled),
    Mistake("a clip with an epsilon of 1e-6 (clip_grad_norm_'s)", _CLIP, _ClippedWithEpsilon),
    Mistake("a clip per array instead of by the global norm", _CLIP, _ClippedPerArray),
    Mistake("a clip of each element instead of by the global norm", _CLIP, _ClippedByValue),
    Mistake("grad_clip 0 read as a bound of zero; it means off", _CLIP, _ZeroClipsAll),
    Mistake("the norm after clipping", _CLIP, _NormAfterClipping),
    Mistake("Adam's epsilon inside the bias correction (TF1's form)", _ADAM, _EpsilonInCorrection),
    Mistake("Adam's epsilon inside the bias correction, and 1e-7 (Keras')", _ADAM, _KerasEpsilon),
    Mistake("Adam's epsilon of 1e-7", _ADAM, _LargeEpsilon),
    Mistake("Adam's epsilon under the root", _ADAM, _EpsilonInRoot),
    Mistake("Adam without its epsilon", _ADAM, _NoEpsilon),
    Mistake("missing bias corrections", _ADAM, _NoCorrections),
    Mistake("a missing bias correction of the first moment", _ADAM, _NoFirstCorrection),
    Mistake("a missing bias correction of the second moment", _ADAM, _NoSecondCorrection),
    Mistake("bias corrections from a step count of the optimiser's own", _ADAM, _OwnStepCount),
    Mistake("the configuration's learning rate instead of the step's", _ADAM, _OwnLearningRate),
    Mistake("plain gradient descent: the second moment is not used", _ADAM, _PlainDescent),
)


def mistakes() -> Iterator[Mistake]:
    """Every known mistake; the gate orders last, since there are many."""
    yield from _NAMED
    yield from _gate_orders()
