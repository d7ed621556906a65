"""Softmax cross-entropy of each symbol."""

from __future__ import annotations

from dataclasses import dataclass

from charkit_tensorflow.framework import tf


@dataclass(frozen=True)
class TensorFlowLoss:
    """``(logits (time, batch, vocabulary) per half, targets (batch, time)) -> nats (batch, time)``."""

    def __call__(self, logits: tuple[tf.Tensor, ...], targets: tf.Tensor) -> tf.Tensor:
        sizes = [part.shape[1] for part in logits]
        return tf.concat(
            [
                tf.transpose(_nats(part, tf.transpose(wanted)))
                for part, wanted in zip(logits, tf.split(targets, sizes), strict=True)
            ],
            axis=0,
        )


def _nats(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """``(time, batch)``, from targets of that shape."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
