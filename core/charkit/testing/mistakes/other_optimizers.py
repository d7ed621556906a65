"""Variants of Adam: Nesterov momentum (NAdam) and AMSGrad."""

from __future__ import annotations

from typing import Any

import numpy as np

from charkit.config import ModelConfig, OptimizerConfig
from charkit.testing.mistakes.mistake import Mistake
from charkit.testing.mistakes.moments import OtherMoments
from charkit.testing.oracle import Floats

_PLAIN = "optimizer.py: plain Adam, learning_rate * m_hat / (sqrt(v_hat) + epsilon)"


class _Nesterov(OtherMoments):
    """Dozat (2016) in its simple form: the momentum of the next step with the correction of this one."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        beta1 = self.optimizer.beta1
        return beta1 * mean + (1.0 - beta1) * clipped, square


class _NesterovOfOptax(OtherMoments):
    """The momentum with the correction of the next step, like ``optax.nadam``."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        beta1 = self.optimizer.beta1
        ratio = self.corrections(step)[0] / self.corrections(step + 1)[0]
        return beta1 * ratio * mean + (1.0 - beta1) * clipped, square


class _NesterovOfPyTorch(OtherMoments):
    """A momentum that grows with the steps, like ``torch.optim.NAdam`` with its default decay of 0.004."""

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        steps = np.arange(1, step + 2)
        momenta = self.optimizer.beta1 * (1.0 - 0.5 * 0.96 ** (steps * 0.004))
        product, product_next = np.prod(momenta[:-1]), np.prod(momenta)
        m_hat = momenta[-1] * mean / (1.0 - product_next) + (1.0 - momenta[-2]) * clipped / (1.0 - product)
        return np.asarray(m_hat * self.corrections(step)[0]), square


class _Highest(OtherMoments):
    """AMSGrad (Reddi et al., 2018): the change uses the highest second moment so far."""

    def __init__(self, model: ModelConfig, optimizer: OptimizerConfig | None = None) -> None:
        super().__init__(model, optimizer)
        self._highest: dict[str, Any] = {}

    def used(
        self, name: str, mean: Floats, square: Floats, clipped: Floats, step: int
    ) -> tuple[Floats, Floats]:
        self._highest[name] = np.maximum(self._highest.get(name, 0.0), square)
        return mean, self._highest[name]


class _HighestCorrected(_Highest):
    """AMSGrad of the corrected second moments, like ``optax.amsgrad``."""

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
    Mistake("Nesterov momentum (NAdam)", _PLAIN, _Nesterov),
    Mistake("Nesterov momentum (NAdam, optax's form)", _PLAIN, _NesterovOfOptax),
    Mistake("Nesterov momentum (NAdam, PyTorch's form)", _PLAIN, _NesterovOfPyTorch),
    Mistake("AMSGrad: the highest second moment so far", _PLAIN, _Highest),
    Mistake("AMSGrad: the highest corrected second moment so far (optax's form)", _PLAIN, _HighestCorrected),
    Mistake("AMSGrad: the highest second moment so far, stored as the second moment", _PLAIN, _HighestKept),
)
