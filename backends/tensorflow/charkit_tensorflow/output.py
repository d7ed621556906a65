"""The projection of features onto the vocabulary."""

from __future__ import annotations

from dataclasses import dataclass

from charkit.backend import Weights
from charkit_tensorflow.framework import tf


@dataclass(frozen=True)
class TensorFlowOutput:
    """``(weights, features (time, batch, unit) per half) -> logits (time, batch, vocabulary) per half``.

    In bfloat16 the operands are rounded and the product is not: a rounded logit would move the loss.
    """

    operands: tf.DType

    def __call__(self, weights: Weights[tf.Tensor], features: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, ...]:
        weight = self._rounded(weights["output.weight"])  # (vocabulary, unit)
        return tuple(self._project(weight, weights["output.bias"], part) for part in features)

    def _project(self, weight: tf.Tensor, bias: tf.Tensor, features: tf.Tensor) -> tf.Tensor:
        time, batch, unit = features.shape
        rows = self._rounded(tf.reshape(features, (-1, unit)))
        return tf.reshape(tf.matmul(rows, weight, transpose_b=True) + bias, (time, batch, -1))

    def _rounded(self, tensor: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.cast(tensor, self.operands), tensor.dtype)
