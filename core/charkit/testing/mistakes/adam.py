"""Adam's change of the weights: epsilon, bias corrections, learning rate, sign."""

from __future__ import annotations

from math import sqrt

import numpy as np

from charkit.testing.least_squares import LINEAR, LOGARITHMIC
from charkit.testing.mistakes.mistake import Family, Mistake, always
from charkit.testing.oracle import Floats, Oracle

_ADAM = (
    "optimizer.py: learning_rate * m_hat / (sqrt(v_hat) + epsilon), with bias corrections and learning rate from "
    "Rates"
)
_EPSILON = "optimizer.py: epsilon is OptimizerConfig.epsilon, added to sqrt(v_hat)"
_RATE = "optimizer.py: w - learning_rate * m_hat / (sqrt(v_hat) + epsilon), with the learning rate from Rates"


class _Adam(Oracle):
    """Adam with another epsilon, in another place, or without a bias correction."""

    epsilon: float | None = None
    inside_root = inside_correction = False
    corrects_mean = corrects_square = True

    def corrections(self, step: int) -> tuple[float, float]:
        correction1, correction2 = super().corrections(step)
        return correction1 if self.corrects_mean else 1.0, correction2 if self.corrects_square else 1.0

    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        epsilon = self.optimizer.epsilon if self.epsilon is None else self.epsilon
        correction1, correction2 = self.corrections(step)
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


class _CorrectionsSwapped(Oracle):
    def corrections(self, step: int) -> tuple[float, float]:
        correction1, correction2 = super().corrections(step)
        return correction2, correction1


class _AlwaysFirstStep(Oracle):
    def corrections(self, step: int) -> tuple[float, float]:
        return super().corrections(1)


class _SeparateStepCount(Oracle):
    """A separate step count that begins at 1 with the first call, whatever step the run resumes at."""

    _first: int | None = None

    def corrections(self, step: int) -> tuple[float, float]:
        self._first = step if self._first is None else self._first
        return super().corrections(step - self._first + 1)


class _NextStep(Oracle):
    def corrections(self, step: int) -> tuple[float, float]:
        return super().corrections(step + 1)


class _NoRoot(Oracle):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq**2 / self.corrections(step)[1], learning_rate, step)


class _ConfiguredLearningRate(Oracle):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return super().change(exp_avg, exp_avg_sq, self.optimizer.learning_rate, step)


class _PlainDescent(Oracle):
    def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
        return np.asarray(learning_rate * exp_avg / self.corrections(step)[0])


def _times(factor: float) -> type[Oracle]:
    class Times(Oracle):
        def change(self, exp_avg: Floats, exp_avg_sq: Floats, learning_rate: float, step: int) -> Floats:
            return factor * super().change(exp_avg, exp_avg_sq, learning_rate, step)

    return Times


def _epsilon(epsilon: float) -> type[Oracle]:
    return type("Epsilon", (_Adam,), {"epsilon": epsilon})


_SIGN = "an update with the wrong sign: the change is added"
_NOT_APPLIED = "an update that is not applied: the weights stay unchanged"
MISTAKES = (
    Mistake("Adam's epsilon inside the bias correction (TF1's form)", _ADAM, _EpsilonInCorrection),
    Mistake(
        "Adam's epsilon inside the bias correction, with a value of 1e-7 (Keras's form)", _ADAM, _KerasEpsilon
    ),
    Mistake("Adam's epsilon inside the square root", _ADAM, _EpsilonInRoot),
    Mistake("Adam without its epsilon", _ADAM, _NoEpsilon),
    Mistake("missing bias corrections", _ADAM, _NoCorrections),
    Mistake("a missing bias correction of the first moment", _ADAM, _NoFirstCorrection),
    Mistake("a missing bias correction of the second moment", _ADAM, _NoSecondCorrection),
    Mistake("swapped bias corrections", _ADAM, _CorrectionsSwapped),
    Mistake("bias corrections of the first step at every step", _ADAM, _AlwaysFirstStep),
    Mistake("bias corrections based on the optimizer's own step count", _ADAM, _SeparateStepCount),
    Mistake("bias corrections of the next step", _ADAM, _NextStep),
    Mistake("a missing square root of the second moment", _ADAM, _NoRoot),
    Mistake("the configured learning rate instead of the step's", _RATE, _ConfiguredLearningRate),
    Mistake("gradient descent with momentum: the second moment is not used", _ADAM, _PlainDescent),
    Mistake(_SIGN, _RATE, _times(-1.0)),
    Mistake(_NOT_APPLIED, _RATE, _times(0.0)),
)
FAMILIES = (
    Family(
        "a learning rate multiplied by {value}",
        _RATE,
        _times,
        always(1.0),
        LINEAR,
        special=(_SIGN, _NOT_APPLIED),
    ),
    Family(
        "an Adam epsilon of {value} instead of {configured}",
        _EPSILON,
        _epsilon,
        always(*(10.0**-exponent for exponent in range(1, 17))),
        LOGARITHMIC,
        lambda optimizer: optimizer.epsilon,
    ),
)
