"""By how much the terms of a gradient or of a loss cancel: the condition number of the sum that it is.

The gradient of a weight is a sum over the symbols of a batch. Rounding is relative to the terms of that sum, not to
their sum where they cancel. Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2nd ed.,
2002), section 4.2: the error of a computed sum is at most a multiple of the sum of its terms' magnitudes. The
loss of a symbol is a difference too, of the logarithm of a sum and a logit, which are nearly equal if the symbol is
predicted well.
"""

from __future__ import annotations

import numpy as np

from charkit.testing.oracle import Cell, Floats, Ints, Oracle


class Magnitudes(Oracle):
    """The oracle whose gradients are the sums of their terms' magnitudes, and each loss the larger of its logits."""

    def loss(self, logits: Floats, targets: Ints) -> Floats:
        at_target = np.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
        return np.asarray(np.maximum(np.abs(logits.max(axis=-1)), np.abs(at_target)))

    def output_gradient(self, d_logits: Floats, output: Floats) -> Floats:
        return np.asarray(np.abs(d_logits).T @ np.abs(output))

    def input_gradient(self, layer: int, d_z: Floats, cell: Cell) -> Floats:
        return np.asarray(np.abs(d_z).T @ np.abs(cell.x))

    def recurrent_gradient(self, t: int, d_z: Floats, cell: Cell) -> Floats:
        return np.asarray(np.abs(d_z).T @ np.abs(cell.h_before))

    def bias_gradient(self, d: Floats) -> Floats:
        return np.asarray(np.abs(d).sum(axis=0))
