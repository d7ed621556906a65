"""Adam's betas: fixed at other numbers, swapped, or one for both."""

from __future__ import annotations

from collections.abc import Callable

from charkit.config import OptimizerConfig
from charkit.testing.least_squares import BELOW_ONE
from charkit.testing.mistakes.mistake import Family, Mistake, always
from charkit.testing.mistakes.moments import OtherMoments
from charkit.testing.oracle import Floats, Oracle

_BETAS = "optimizer.py: beta1 and beta2 come from OptimizerConfig; beta1 is for exp_avg, beta2 for exp_avg_sq"


class OtherBetas(OtherMoments):
    """Moments with other betas than the configuration's; the bias corrections too with ``in_corrections``."""

    beta1: float | None = None
    beta2: float | None = None
    in_corrections = False

    def betas(self) -> tuple[float, float]:
        configured = self.optimizer
        return (
            configured.beta1 if self.beta1 is None else self.beta1,
            configured.beta2 if self.beta2 is None else self.beta2,
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


class _Beta1ForBoth(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return self.optimizer.beta1, self.optimizer.beta1


class _Beta1ForBothThroughout(_Beta1ForBoth):
    in_corrections = True


class _Beta2ForBoth(OtherBetas):
    def betas(self) -> tuple[float, float]:
        return self.optimizer.beta2, self.optimizer.beta2


class _Beta2ForBothThroughout(_Beta2ForBoth):
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


def _family(
    name: str,
    make: Callable[[float], type[Oracle]],
    configured: Callable[[OptimizerConfig], float],
    special: str,
) -> Family:
    starts = always(0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
    return Family(name, _BETAS, make, starts, BELOW_ONE, configured, (special,))


def _configured_beta1(optimizer: OptimizerConfig) -> float:
    return optimizer.beta1


def _configured_beta2(optimizer: OptimizerConfig) -> float:
    return optimizer.beta2


_BETA1_FOR_BOTH, _BETA2_FOR_BOTH = "beta1 used for both moments", "beta2 used for both moments"
_IN_CORRECTIONS = ", in the bias corrections too"
MISTAKES = (
    Mistake("swapped betas", _BETAS, _BetasSwapped),
    Mistake(f"swapped betas{_IN_CORRECTIONS}", _BETAS, _BetasSwappedThroughout),
    Mistake(_BETA1_FOR_BOTH, _BETAS, _Beta1ForBoth),
    Mistake(_BETA1_FOR_BOTH + _IN_CORRECTIONS, _BETAS, _Beta1ForBothThroughout),
    Mistake(_BETA2_FOR_BOTH, _BETAS, _Beta2ForBoth),
    Mistake(_BETA2_FOR_BOTH + _IN_CORRECTIONS, _BETAS, _Beta2ForBothThroughout),
    Mistake("beta and 1 - beta swapped", _BETAS, _BetasComplemented),
)
FAMILIES = (
    _family("a beta1 of {value} instead of {configured}", _beta1, _configured_beta1, _BETA2_FOR_BOTH),
    _family("a beta2 of {value} instead of {configured}", _beta2, _configured_beta2, _BETA1_FOR_BOTH),
    _family(
        f"a beta1 of {{value}} instead of {{configured}}{_IN_CORRECTIONS}",
        _beta1_throughout,
        _configured_beta1,
        _BETA2_FOR_BOTH + _IN_CORRECTIONS,
    ),
    _family(
        f"a beta2 of {{value}} instead of {{configured}}{_IN_CORRECTIONS}",
        _beta2_throughout,
        _configured_beta2,
        _BETA1_FOR_BOTH + _IN_CORRECTIONS,
    ),
)
