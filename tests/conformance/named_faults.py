"""Planted faults that must be named: each a backend that is wrong in one place, written without the kit's own list."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.config import ModelConfig
from charkit_numpy.backend import NumpyBackend
from conformance import faults
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
