"""Gates with other activations, or other derivatives in the backward pass."""

from __future__ import annotations

import numpy as np

from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.wrapped import Wrapped
from charkit.testing.oracle import Arrays, Cell, Floats, Ints, Oracle, sigmoid

_SIGMOID = "lstm.py: the gates i, f and o are sigmoids, 1 / (1 + exp(-z))"
_TANH = "lstm.py: c = f * c + i * tanh(z_g), h = o * tanh(c)"
_SLOPE = (
    "lstm.py, backward pass: the derivative of a sigmoid s is s * (1 - s), and that of tanh is 1 - tanh**2"
)
_GATE_GRADIENTS = "lstm.py, backward pass: each of the four gates has its own gradient"
_RECURRENT = "lstm.py: weight_hh is (4*unit, unit): each gate adds its block of weight_hh times h to its z"


class _HardSigmoid(Oracle):
    def gate(self, z: Floats) -> Floats:
        return np.clip(0.2 * z + 0.5, 0.0, 1.0)

    def gate_slope(self, gate: Floats) -> Floats:
        return np.where((gate > 0.0) & (gate < 1.0), 0.2, 0.0)


class _NotHalved(Oracle):
    """``0.5 * (1 + tanh(z))``, which is the sigmoid of ``2z``."""

    def gate(self, z: Floats) -> Floats:
        return sigmoid(2.0 * z)

    def gate_slope(self, gate: Floats) -> Floats:
        return 2.0 * super().gate_slope(gate)


class _CandidateAsGate(Oracle):
    def candidate(self, z: Floats) -> Floats:
        return self.gate(z)

    def candidate_slope(self, g: Floats) -> Floats:
        return self.gate_slope(g)


class _CandidateLinear(Oracle):
    def candidate(self, z: Floats) -> Floats:
        return z

    def candidate_slope(self, g: Floats) -> Floats:
        return np.ones_like(g)


class _CellLinear(Oracle):
    def squashed(self, c: Floats) -> Floats:
        return c

    def squashed_slope(self, c: Floats) -> Floats:
        return np.ones_like(c)


class _RecurrentTransposed(Wrapped):
    """Each gate's square block of weight_hh, and of its gradient, is transposed."""

    def weights_in(self, weights: Arrays) -> Arrays:
        return _blocks_transposed(weights)

    def gradients_out(self, gradients: Arrays, symbols: Ints) -> Arrays:
        return _blocks_transposed(gradients)


def _blocks_transposed(arrays: Arrays) -> Arrays:
    return {
        name: np.concatenate([block.T for block in np.split(array, 4)])
        if name.endswith("weight_hh")
        else array
        for name, array in arrays.items()
    }


# ---- derivatives ---------------------------------------------------------------------------------------------


class _SlopeDoubled(Oracle):
    def gate_slope(self, gate: Floats) -> Floats:
        return 2.0 * super().gate_slope(gate)


class _SlopeMissing(Oracle):
    def gate_slope(self, gate: Floats) -> Floats:
        return np.ones_like(gate)


class _SlopeIsGate(Oracle):
    def gate_slope(self, gate: Floats) -> Floats:
        return gate


class _SlopeIsRest(Oracle):
    def gate_slope(self, gate: Floats) -> Floats:
        return 1.0 - gate


class _CandidateSlopeMissing(Oracle):
    def candidate_slope(self, g: Floats) -> Floats:
        return np.ones_like(g)


class _CandidateSlopeDoubled(Oracle):
    def candidate_slope(self, g: Floats) -> Floats:
        return 2.0 * super().candidate_slope(g)


class _CandidateSlopeNotSquared(Oracle):
    def candidate_slope(self, g: Floats) -> Floats:
        return 1.0 - g


class _CellSlopeMissing(Oracle):
    def squashed_slope(self, c: Floats) -> Floats:
        return np.ones_like(c)


class _CellSlopeDoubled(Oracle):
    def squashed_slope(self, c: Floats) -> Floats:
        return 2.0 * super().squashed_slope(c)


class _CellSlopeNotSquared(Oracle):
    def squashed_slope(self, c: Floats) -> Floats:
        return 1.0 - np.tanh(c)


class _CellSlopeOfCell(Oracle):
    def squashed_slope(self, c: Floats) -> Floats:
        return 1.0 - c**2


class _SlopesMissing(_CandidateSlopeMissing, _CellSlopeMissing):
    """Neither tanh has a derivative."""


def _without(position: int) -> type[Oracle]:
    class Without(Oracle):
        def into_gates(self, cell: Cell, d_h: Floats, d_c: Floats) -> tuple[Floats, Floats, Floats, Floats]:
            kept = [float(index != position) for index in range(4)]
            i, f, g, o = super().into_gates(cell, d_h, d_c)
            return kept[0] * i, kept[1] * f, kept[2] * g, kept[3] * o

    return Without


MISTAKES = (
    Mistake("a hard sigmoid in the gates (as in older versions of Keras)", _SIGMOID, _HardSigmoid),
    Mistake("a sigmoid of 2z: 0.5 * (1 + tanh(z)) without the 0.5 inside tanh", _SIGMOID, _NotHalved),
    Mistake("a sigmoid instead of the candidate's tanh", _TANH, _CandidateAsGate),
    Mistake("a missing tanh of the candidate g", _TANH, _CandidateLinear),
    Mistake("a missing tanh(c): h is o * c", _TANH, _CellLinear),
    Mistake("a weight_hh transposed gate by gate", _RECURRENT, _RecurrentTransposed),
    Mistake("a doubled derivative of the sigmoid", _SLOPE, _SlopeDoubled),
    Mistake("a missing derivative of the sigmoid", _SLOPE, _SlopeMissing),
    Mistake("a derivative of the sigmoid without its factor 1 - s", _SLOPE, _SlopeIsGate),
    Mistake("a derivative of the sigmoid without its factor s", _SLOPE, _SlopeIsRest),
    Mistake("a missing derivative of the candidate's tanh", _SLOPE, _CandidateSlopeMissing),
    Mistake("a doubled derivative of the candidate's tanh", _SLOPE, _CandidateSlopeDoubled),
    Mistake("a derivative of the candidate's tanh without its square", _SLOPE, _CandidateSlopeNotSquared),
    Mistake("a missing derivative of tanh(c)", _SLOPE, _CellSlopeMissing),
    Mistake("a doubled derivative of tanh(c)", _SLOPE, _CellSlopeDoubled),
    Mistake("a derivative of tanh(c) without its square", _SLOPE, _CellSlopeNotSquared),
    Mistake("a derivative of tanh(c) computed from c instead of tanh(c)", _SLOPE, _CellSlopeOfCell),
    Mistake("missing derivatives of both tanh functions", _SLOPE, _SlopesMissing),
    Mistake("a missing gradient of the input gate", _GATE_GRADIENTS, _without(0)),
    Mistake("a missing gradient of the forget gate", _GATE_GRADIENTS, _without(1)),
    Mistake("a missing gradient of the candidate", _GATE_GRADIENTS, _without(2)),
    Mistake("a missing gradient of the output gate", _GATE_GRADIENTS, _without(3)),
)
