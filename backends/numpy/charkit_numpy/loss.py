"""Softmax cross-entropy of each symbol, and its gradient."""

from __future__ import annotations

import numpy as np

from charkit_numpy.tape import Array, active_tape, workspace


class NumpyLoss:
    """``(logits (time, batch, vocabulary), targets (batch, time)) -> nats (batch, time)``."""

    def __call__(self, logits: Array, targets: Array) -> Array:
        time, batch, vocabulary = logits.shape
        rows = logits.reshape(-1, vocabulary)
        wanted = targets.T.ravel()  # (time*batch,)
        each = np.arange(len(rows))
        shifted = workspace().array("exponentials", rows.shape, rows.dtype)
        np.subtract(rows, rows.max(axis=1, keepdims=True), out=shifted)
        at_target = shifted[each, wanted]
        exponentials = np.exp(shifted, out=shifted)
        totals = exponentials.sum(axis=1)
        nats = np.log(totals) - at_target

        def backward(share: float) -> Array:
            """From the weight of each symbol in the mean to the gradient of the logits, in place."""
            exponentials[:] *= (share / totals)[:, None]
            exponentials[each, wanted] -= share
            return exponentials.reshape(logits.shape)

        tape = active_tape()
        if tape is not None:
            tape.push(backward)
        return np.ascontiguousarray(nats.reshape(time, batch).T)
