"""Planted faults that must be named: each a backend that is wrong in one place, written without the kit's own list."""

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np

from charkit.backend import Moments, State
from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.backend import NumpyBackend
from conformance import faults
from conformance.faults import Adam
from conformance.plain_network import PlainNetwork

# ---- the network -----------------------------------------------------------------------------------------


class CellNotSquashed(PlainNetwork):
    def tanh_of_cell(self, c: Any) -> Any:
        return c

    def cell_derivative(self, c: Any, tanh_c: Any) -> Any:
        return 1


class CandidateNotSquashed(PlainNetwork):
    def tanh_of_candidate(self, z: Any) -> Any:
        return z


class SigmoidByTanh(PlainNetwork):
    def sigmoid(self, z: Any) -> Any:
        return (np.tanh(z) + 1) / 2


class TwiceTheSlope(PlainNetwork):
    def sigmoid_derivative(self, s: Any) -> Any:
        return 2 * s * (1 - s)


class NoSlope(PlainNetwork):
    def sigmoid_derivative(self, s: Any) -> Any:
        return 1


class NoSlopeOfCandidate(PlainNetwork):
    def candidate_derivative(self, g: Any) -> Any:
        return 1


class NoSlopeOfCell(PlainNetwork):
    def cell_derivative(self, c: Any, tanh_c: Any) -> Any:
        return 1


class ForgetGateNotTrained(PlainNetwork):
    def deltas(self, i: Any, f: Any, g: Any, o: Any) -> Any:
        return i, f * 0, g, o


class OutputGateNotTrained(PlainNetwork):
    def deltas(self, i: Any, f: Any, g: Any, o: Any) -> Any:
        return i, f, g, o * 0


class HiddenDetached(PlainNetwork):
    def carried_back(self, t: int, steps: int, hidden: Any, cell: Any) -> Any:
        return hidden * 0, cell


class CellDetached(PlainNetwork):
    def carried_back(self, t: int, steps: int, hidden: Any, cell: Any) -> Any:
        return hidden, cell * 0


class CutEverySixteen(PlainNetwork):
    def carried_back(self, t: int, steps: int, hidden: Any, cell: Any) -> Any:
        return (hidden, cell) if t % 16 else (hidden * 0, cell * 0)


class CutEverySevenFromEnd(PlainNetwork):
    def carried_back(self, t: int, steps: int, hidden: Any, cell: Any) -> Any:
        return (hidden, cell) if (steps - t) % 7 else (hidden * 0, cell * 0)


class FewerSteps(PlainNetwork):
    def mean_over(self, targets: Any) -> Any:
        return targets.shape[0] * (targets.shape[1] - 1)


class GradientNegated(PlainNetwork):
    def mean_over(self, targets: Any) -> Any:
        return -targets.size


class MaskOfStepBefore(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        order = [t - 1 for t in range(masks.shape[2])]
        return super().kept(masks[:, :, order], layer)


class MaskOfLayerBelow(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        return super().kept(masks, layer - 1)


class OneMaskForAllSteps(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        return super().kept(masks[:, :, [0] * masks.shape[2]], layer)


class LowerLayersNotDropped(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        last = layer == self.model.num_layers - 1
        return super().kept(masks, layer) if last else np.ones(masks[layer].transpose(1, 0, 2).shape)


class KeptTimesShare(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        return masks[layer].transpose(1, 0, 2) * (1 - self.model.dropout)


class RecurrentTransposed(PlainNetwork):
    def lstm(self, weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        turned = {
            name: array.reshape(4, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)
            if "hh" in name
            else array
            for name, array in weights.items()
        }
        return super().lstm(turned, symbols, state, masks)


class ScaleInFloat32(PlainNetwork):
    def kept(self, masks: Any, layer: int) -> Any:
        return masks[layer].transpose(1, 0, 2) * np.float32(1 / (1 - self.model.dropout))


# ---- projection and loss ---------------------------------------------------------------------------------


class VocabularyFirst(NumpyBackend):
    """Logits as ``(time, vocabulary, batch)``, which its loss knows and whoever copies them out does not."""

    def build_output(self, model: ModelConfig) -> Any:
        inner = super().build_output(model)
        return lambda *arguments: np.ascontiguousarray(inner(*arguments).swapaxes(1, 2))

    def build_loss(self, model: ModelConfig) -> Any:
        inner = super().build_loss(model)
        return lambda logits, targets: inner(np.ascontiguousarray(logits.swapaxes(1, 2)), targets)


no_output_bias = faults.output(
    lambda inner, weights, features: inner(
        {**weights, "output.bias": np.zeros_like(weights["output.bias"])}, features
    )
)
turned_output = faults.output(
    lambda inner, weights, features: inner(
        {**weights, "output.weight": np.ascontiguousarray(weights["output.weight"].T)}, features
    )
)


def _probabilities(logits: Any, targets: Any) -> Any:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return np.take_along_axis(shares, targets.T[..., None], axis=-1)[..., 0].T


clipped_like_keras = faults.loss(
    lambda inner, logits, targets: -np.log(np.clip(_probabilities(logits, targets), 1e-7, 1 - 1e-7))
)
clipped_below = faults.loss(
    lambda inner, logits, targets: -np.log(np.maximum(_probabilities(logits, targets), 1e-12))
)
with_epsilon = faults.loss(lambda inner, logits, targets: -np.log(_probabilities(logits, targets) + 1e-8))
log_sum_exp_overflows = faults.loss(
    lambda inner, logits, targets: (
        (
            np.log(np.exp(logits).sum(axis=-1))
            - np.take_along_axis(logits, targets.T[..., None], axis=-1)[..., 0]
        ).T
    )
)
shifted_targets = faults.loss(lambda inner, logits, targets: inner(logits, np.roll(targets, 1, axis=1)))
byte_symbols = faults.lstm(
    lambda inner, model, weights, symbols, *rest: inner(
        weights, symbols.astype(np.uint8).astype(np.int32), *rest
    )
)
byte_targets = faults.loss(
    lambda inner, logits, targets: inner(logits, targets.astype(np.uint8).astype(np.int32))
)

# ---- the border ------------------------------------------------------------------------------------------


class NarrowIn(NumpyBackend):
    """Whatever comes in passes through float32."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return super().tensor(array.astype(np.float32) if array.dtype.kind == "f" else array)


class NarrowScalars(NumpyBackend):
    """Numbers without an axis pass through float32."""

    def tensor(self, array: Any) -> Any:
        array = np.asarray(array)
        return super().tensor(array if array.ndim else array.astype(np.float32))


class NarrowOut(NumpyBackend):
    def numpy(self, tensor: Any) -> Any:
        array = np.asarray(tensor)
        return array.astype(np.float32).astype(array.dtype) if array.dtype.kind == "f" else array.copy()


# ---- optimizers ------------------------------------------------------------------------------------------


class Clipping(Adam):
    """Clipping and Adam with the gradient before clipping at hand; right as it stands."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        self.weights = weights
        total = self.norm(gradients)
        after, mean, square = {}, {}, {}
        for name, raw in gradients.items():
            clipped = self.clip(raw, total)
            mean[name] = self.first(moments.exp_avg[name], clipped, raw)
            square[name] = self.second(moments.exp_avg_sq[name], clipped, raw)
            used = self.used(name, mean[name], square[name], clipped, rates)
            after[name] = weights[name] - self.change(*used, rates).astype(raw.dtype)
        return self.finish(weights, after, total), Moments(mean, square), np.asarray(total)

    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + (1 - self.config.beta1) * clipped

    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta2 * before + (1 - self.config.beta2) * clipped**2

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return mean, square

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        return after


class ScalingTheChange(Clipping):
    def clip(self, gradient: Any, norm: float) -> Any:
        return gradient

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        scale = min(1.0, self.config.clip_threshold / norm)
        return {name: weights[name] + scale * (after[name] - weights[name]) for name in after}


class ClippingTheChange(ScalingTheChange):
    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        length = sqrt(sum(float(np.sum((after[name] - weights[name]) ** 2)) for name in after))
        return super().finish(weights, after, length)


class OneAndTwo(Clipping):
    """2 - beta2 for 1 - beta2: from a moment of zero the same as another beta2."""

    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta2 * before + (2 - self.config.beta2) * clipped**2


class FactorOfTheOther(Clipping):
    """1 - beta2 for 1 - beta1: from a moment of zero the same as beta2 for both."""

    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + (1 - self.config.beta2) * clipped


class HalfOfTheGradient(Clipping):
    """Half the first moment, kept as it should be: at the first step the same as half the learning rate."""

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return mean - 0.5 * (1 - self.config.beta1) * clipped, square


class SecondOfRaw(Clipping):
    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return super().second(before, raw, raw)


class FirstOfRaw(Clipping):
    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return super().first(before, raw, raw)


class Lookahead(Clipping):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        return super().first(mean, clipped, clipped), square


class LookaheadOfOptax(Clipping):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        beta = self.config.beta1
        here = float(rates.bias_correction1)
        there = 1 - (1 - here) * beta
        ahead = beta * mean / there + (1 - beta) * clipped / here
        return ahead * here, square


class NeverForgetting(Clipping):
    """The denominator never falls."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config)
        self.top: dict[str, Any] = {}

    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        self.top[name] = square if name not in self.top else np.maximum(self.top[name], square)
        return mean, self.top[name]


class NeverForgettingCorrected(NeverForgetting):
    def used(self, name: str, mean: Any, square: Any, clipped: Any, rates: Any) -> Any:
        correction = float(rates.bias_correction2)
        mean, top = super().used(name, mean, square / correction, clipped, rates)
        return mean, top * correction


class NeverForgettingInPlace(Clipping):
    def second(self, before: Any, clipped: Any, raw: Any) -> Any:
        return np.maximum(before, super().second(before, clipped, raw))


class Decaying(Clipping):
    strength = 0.01

    def decayed(self, name: str) -> bool:
        return True

    def finish(self, weights: Any, after: Any, norm: float) -> Any:
        return {
            name: array - self.rate * self.strength * weights[name] if self.decayed(name) else array
            for name, array in after.items()
        }

    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        self.rate = float(rates.learning_rate)
        return super().change(mean, square, rates)


class DecayingMatrices(Decaying):
    strength = 0.1

    def decayed(self, name: str) -> bool:
        return "bias" not in name


class PullingGradients(Clipping):
    """The gradient of half the squared weights is added before anything else."""

    strength = 1e-5

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        pulled = {name: gradient + self.strength * weights[name] for name, gradient in gradients.items()}
        return super().__call__(weights, moments, pulled, rates)


class OtherConfig(Clipping):
    """Reads some settings from elsewhere than the configuration."""

    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {}

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config.model_copy(update=self.elsewhere(config)))


class DefaultBeta1(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta1": 0.9}


class DefaultBeta2(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta2": 0.999}


class DefaultEpsilon(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"epsilon": 1e-8}


class SwappedBetas(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta1": config.beta2, "beta2": config.beta1}


class OneBeta(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        return {"beta2": config.beta1}


class NarrowConstants(OtherConfig):
    def elsewhere(self, config: OptimizerConfig) -> dict[str, float]:
        names = ("beta1", "beta2", "epsilon", "grad_clip")
        return {name: float(np.float32(getattr(config, name))) for name in names}


class OwnCorrection(DefaultBeta2):
    """The betas of its own are in the bias correction too, at whatever step the configuration's are."""

    def __init__(self, config: OptimizerConfig) -> None:
        super().__init__(config)
        self.given = config

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        step = np.log(1 - rates.bias_correction2) / np.log(self.given.beta2)
        own = rates._replace(bias_correction2=1 - self.config.beta2**step)
        return super().__call__(weights, moments, gradients, own)


class TwiceAsFast(Clipping):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return 2 * super().change(mean, square, rates)


class Climbing(Clipping):
    def change(self, mean: Any, square: Any, rates: Any) -> Any:
        return -super().change(mean, square, rates)


class SwappingMoments(Clipping):
    """Returns the second moment first, and takes them so."""

    def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
        after, new, norm = super().__call__(
            weights, Moments(moments.exp_avg_sq, moments.exp_avg), gradients, rates
        )
        return after, Moments(new.exp_avg_sq, new.exp_avg), norm


class SumOfGradients(Clipping):
    def first(self, before: Any, clipped: Any, raw: Any) -> Any:
        return self.config.beta1 * before + clipped


# ---- wrong in a way that has no name -----------------------------------------------------------------------


def spoiled(change: Any) -> tuple[type[NumpyBackend], ...]:
    """Three backends whose LSTM, gradients or optimizer give what ``change(name, array)`` makes of each array."""

    def of_lstm(inner: Any, model: Any, *arguments: Any) -> Any:
        features, state = inner(*arguments)
        changed = {name: change(name, array) for name, array in state._asdict().items()}
        return change("features", features), State(**changed)

    def of_gradients(right: Any, symbols: Any) -> Any:
        return {name: change(name, array) for name, array in right.items()}

    class Spoiling(Clipping):
        def __call__(self, *arguments: Any) -> Any:
            weights, moments, norm = super().__call__(*arguments)
            after = {name: change(name, array) for name, array in weights.items()}
            means = {name: change(name, array) for name, array in moments.exp_avg.items()}
            return after, Moments(means, moments.exp_avg_sq), norm

    return faults.lstm(of_lstm), faults.returned_gradients(of_gradients), faults.optimizer(Spoiling)


def noisy(name: str, array: Any) -> Any:
    """Every element off by about 1e-4 of the largest, the same way at every call."""
    random = np.random.default_rng(len(name) + array.size)
    return (array + 1e-4 * np.abs(array).max() * random.standard_normal(array.shape)).astype(array.dtype)


def one_array_scaled(name: str, array: Any) -> Any:
    """One array 1.0001 times as large."""
    return array * array.dtype.type(1.0001) if name in {"hidden", "lstm.0.weight_hh"} else array


def one_element_off(name: str, array: Any) -> Any:
    """One element off, of one array, by a thousandth of the largest."""
    changed = array.copy()
    if name in {"cell", "output.weight"}:
        changed.flat[array.size // 2] += 1e-3 * np.abs(array).max()
    return changed


def one_element_gone(name: str, array: Any) -> Any:
    """One element of each array zero."""
    changed = array.copy()
    changed.flat[array.size // 3] = 0
    return changed
