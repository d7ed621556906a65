"""Adam's moments: of other gradients, with other betas, or used in another way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.fit import BELOW_ONE
from charkit.testing.mistakes.mistake import Family, Mistake, always
from charkit.testing.oracle import Arrays, Floats, Oracle

_MOMENTS = "optimizer.py: exp_avg and exp_avg_sq are running means of the clipped gradient and of its square"
_BETAS = "optimizer.py: beta1 and beta2 are OptimizerConfig's; beta1 is of exp_avg, beta2 of exp_avg_sq"
_PLAIN = "optimizer.py: plain Adam, learning_rate * m_hat / (sqrt(v_hat) + epsilon)"


class OtherMoments(Oracle):
    """The oracle's update with other moments, or with another use of them; a mistake overrides one method."""

    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        """The new first moment, from the gradient after and before clipping."""
        return self.optimizer.beta1 * before + (1.0 - self.optimizer.beta1) * clipped

    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        """The new second moment, from the gradient after and before clipping."""
        return self.optimizer.beta2 * before + (1.0 - self.optimizer.beta2) * clipped**2

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        """The moments that the change is made of."""
        return mean, square

    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        right, kept, norm = super().update(weights, moments, gradients, learning_rate, step)
        clipped = self.clipped(gradients, norm)
        after, means, squares = {}, {}, {}
        for name, gradient in gradients.items():
            mean = self.mean(moments.exp_avg[name], clipped[name], gradient)
            square = self.square(moments.exp_avg_sq[name], clipped[name], gradient)
            used = self.used(name, mean, square, clipped[name], step)
            change = self.change(kept.exp_avg[name], kept.exp_avg_sq[name], learning_rate, step)
            after[name] = right[name] + (change - self.change(*used, learning_rate, step))
            means[name], squares[name] = mean, square
        return after, Moments(means, squares), norm


class _FirstUnclipped(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().mean(before, raw, raw)


class _SecondUnclipped(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().square(before, raw, raw)


class _FirstNotKept(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().mean(np.zeros_like(before), clipped, raw)


class _SecondNotKept(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return super().square(np.zeros_like(before), clipped, raw)


class _NoneKept(_FirstNotKept, _SecondNotKept):
    """Both moments start from zero at each step."""


class _FirstIsSum(OtherMoments):
    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta1 * before + clipped


class _SecondIsSum(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta2 * before + clipped**2


class _SecondNotSquared(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return self.optimizer.beta2 * before + (1.0 - self.optimizer.beta2) * clipped


class _SwappedOut(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        after, moments, norm = super().update(weights, moments, gradients, learning_rate, step)
        return after, _swapped(moments), norm


class _SwappedIn(Oracle):
    def update(
        self, weights: Arrays, moments: Moments[Floats], gradients: Arrays, learning_rate: float, step: int
    ) -> tuple[Arrays, Moments[Floats], float]:
        return super().update(weights, _swapped(moments), gradients, learning_rate, step)


class _SwappedBoth(_SwappedOut, _SwappedIn):
    """Read and returned in the wrong order."""


def _swapped(moments: Moments[Floats]) -> Moments[Floats]:
    return Moments(moments.exp_avg_sq, moments.exp_avg)


# ---- betas -------------------------------------------------------------------------------------------------


class OtherBetas(OtherMoments):
    """Moments with betas that are not the configuration's; the bias corrections are, unless it says so."""

    beta1: float | None = None
    beta2: float | None = None
    in_corrections = False

    def betas(self) -> tuple[float, float]:
        given = self.optimizer
        return (
            given.beta1 if self.beta1 is None else self.beta1,
            given.beta2 if self.beta2 is None else self.beta2,
        )

    def mean(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        beta1, _ = self.betas()
        return beta1 * before + (1.0 - beta1) * clipped

    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        _, beta2 = self.betas()
        return beta2 * before + (1.0 - beta2) * clipped**2

    def corrections(self, step: int) -> tuple[float, float]:
        if not self.in_corrections:
            return super().corrections(step)
        beta1, beta2 = self.betas()
        return 1.0 - beta1**step, 1.0 - beta2**step


class _BetasSwapped(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return self.optimizer.beta2, self.optimizer.beta1


class _BetasSwappedThroughout(_BetasSwapped):
    in_corrections = True


class _FirstForBoth(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return self.optimizer.beta1, self.optimizer.beta1


class _FirstForBothThroughout(_FirstForBoth):
    in_corrections = True


class _SecondForBoth(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return self.optimizer.beta2, self.optimizer.beta2


class _SecondForBothThroughout(_SecondForBoth):
    in_corrections = True


class _BetasComplemented(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return 1.0 - self.optimizer.beta1, 1.0 - self.optimizer.beta2


def _beta1(beta1: float) -> type[Oracle]:
    return type("Beta1", (OtherBetas,), {"beta1": beta1})


def _beta2(beta2: float) -> type[Oracle]:
    return type("Beta2", (OtherBetas,), {"beta2": beta2})


def _beta1_throughout(beta1: float) -> type[Oracle]:
    return type("Beta1Throughout", (OtherBetas,), {"beta1": beta1, "in_corrections": True})


def _beta2_throughout(beta2: float) -> type[Oracle]:
    return type("Beta2Throughout", (OtherBetas,), {"beta2": beta2, "in_corrections": True})


# ---- other optimizers --------------------------------------------------------------------------------------


class _Nesterov(OtherMoments):
    """Dozat (2016) in its simple form: the momentum of the next step, under the correction of this one."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        beta1 = self.optimizer.beta1
        return beta1 * mean + (1.0 - beta1) * clipped, square


class _NesterovOfOptax(OtherMoments):
    """The momentum under the correction of the next step, as ``optax.nadam`` has it."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        beta1 = self.optimizer.beta1
        ratio = self.corrections(step)[0] / self.corrections(step + 1)[0]
        return beta1 * ratio * mean + (1.0 - beta1) * clipped, square


class _NesterovOfPyTorch(OtherMoments):
    """A momentum that grows with the steps, as ``torch.optim.NAdam`` has it with its default decay of 0.004."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        steps = np.arange(1, step + 2)
        momenta = self.optimizer.beta1 * (1.0 - 0.5 * 0.96 ** (steps * 0.004))
        product, product_next = np.prod(momenta[:-1]), np.prod(momenta)
        m_hat = momenta[-1] * mean / (1.0 - product_next) + (1.0 - momenta[-2]) * clipped / (1.0 - product)
        return np.asarray(m_hat * self.corrections(step)[0]), square


class _Highest(OtherMoments):
    """AMSGrad (Reddi et al., 2018): the change is made of the highest second moment so far."""

    def __init__(self, model: ModelConfig, optimizer: OptimizerConfig | None = None) -> None:
        super().__init__(model, optimizer)
        self._highest: dict[str, Any] = {}

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        self._highest[name] = np.maximum(self._highest.get(name, 0.0), square)
        return mean, self._highest[name]


class _HighestCorrected(_Highest):
    """AMSGrad of the corrected second moments, as ``optax.amsgrad`` has it."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        correction2 = self.corrections(step)[1]
        _, highest = super().used(name, mean, square / correction2, clipped, step)
        return mean, highest * correction2


class _HighestKept(OtherMoments):
    def square(self, before: Floats, clipped: Floats, raw: Floats) -> Floats:
        return np.maximum(before, super().square(before, clipped, raw))


MISTAKES = (
    Mistake("a first moment of the gradients before clipping", _MOMENTS, _FirstUnclipped),
    Mistake("a second moment of the gradients before clipping", _MOMENTS, _SecondUnclipped),
    Mistake("a first moment that is not kept from step to step", _MOMENTS, _FirstNotKept),
    Mistake("a second moment that is not kept from step to step", _MOMENTS, _SecondNotKept),
    Mistake("moments that are not kept from step to step", _MOMENTS, _NoneKept),
    Mistake("a first moment without the factor 1 - beta1", _MOMENTS, _FirstIsSum),
    Mistake("a second moment without the factor 1 - beta2", _MOMENTS, _SecondIsSum),
    Mistake("a second moment of the gradient, not of its square", _MOMENTS, _SecondNotSquared),
    Mistake("swapped moments: they come back in the wrong order", _MOMENTS, _SwappedOut),
    Mistake("swapped moments: they are read in the wrong order", _MOMENTS, _SwappedIn),
    Mistake("swapped moments: they are read and come back in the wrong order", _MOMENTS, _SwappedBoth),
    Mistake("swapped betas", _BETAS, _BetasSwapped),
    Mistake("swapped betas, in the bias corrections too", _BETAS, _BetasSwappedThroughout),
    Mistake("beta1 used for both moments", _BETAS, _FirstForBoth),
    Mistake("beta1 used for both moments, in the bias corrections too", _BETAS, _FirstForBothThroughout),
    Mistake("beta2 used for both moments", _BETAS, _SecondForBoth),
    Mistake("beta2 used for both moments, in the bias corrections too", _BETAS, _SecondForBothThroughout),
    Mistake("each beta in the place of 1 - beta", _BETAS, _BetasComplemented),
    Mistake("Nesterov's momentum (NAdam)", _PLAIN, _Nesterov),
    Mistake("Nesterov's momentum (NAdam, optax's form)", _PLAIN, _NesterovOfOptax),
    Mistake("Nesterov's momentum (NAdam, PyTorch's form)", _PLAIN, _NesterovOfPyTorch),
    Mistake("AMSGrad: the highest second moment so far", _PLAIN, _Highest),
    Mistake("AMSGrad: the highest corrected second moment so far (optax's form)", _PLAIN, _HighestCorrected),
    Mistake("AMSGrad: the highest second moment so far, kept as the moment", _PLAIN, _HighestKept),
)


def _family(
    name: str, make: Callable[[float], type[Oracle]], asked: Callable[[OptimizerConfig], float]
) -> Family:
    return Family(name, _BETAS, make, always(0.0, 0.5, 0.9, 0.99, 0.999, 0.9999), BELOW_ONE, asked)


def _asked_beta1(optimizer: OptimizerConfig) -> float:
    return optimizer.beta1


def _asked_beta2(optimizer: OptimizerConfig) -> float:
    return optimizer.beta2


_TOO = ", in the bias correction too"
FAMILIES = (
    _family("beta1 of {value} instead of {asked}", _beta1, _asked_beta1),
    _family("beta2 of {value} instead of {asked}", _beta2, _asked_beta2),
    _family(f"beta1 of {{value}} instead of {{asked}}{_TOO}", _beta1_throughout, _asked_beta1),
    _family(f"beta2 of {{value}} instead of {{asked}}{_TOO}", _beta2_throughout, _asked_beta2),
)
