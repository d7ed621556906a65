"""Declared capabilities: their names are known, and what is declared is done.

Weight decay (stage optimiser) is judged on weights that don't start at zero, with a decay and a learning rate large
enough that each term of the update shows in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.capabilities import CAPABILITIES
from charkit.config import OptimizerConfig
from charkit.testing.cases import gradients_of, make_case, weights_of
from charkit.testing.judge import agree, require, same_bits
from charkit.testing.oracle import Arrays, Floats, Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject, Updater

_DECAY = (
    "optimizer.py: w - learning_rate * weight_decay * w - learning_rate * m_hat / (sqrt(v_hat) + epsilon)"
)
_MODEL = make_case().model
_RATE = 0.3
_DECAYING = OptimizerConfig(learning_rate=_RATE, weight_decay=0.5, grad_clip=1000.0)


@check("import")
def declared_capabilities_are_known(subject: Subject) -> None:
    """Capabilities are a frozenset of names that this charkit knows, or empty."""
    declared: Any = getattr(subject.backend_class(), "capabilities", frozenset())
    require(
        isinstance(declared, frozenset) and declared <= CAPABILITIES.keys(),
        expected=f"capabilities: a frozenset out of {', '.join(sorted(CAPABILITIES))}",
        got=repr(declared),
        look_at="backend.py: the class attribute capabilities",
    )


def _follow(
    subject: Subject,
    precision: str,
    optimizer: OptimizerConfig,
    gradients: Sequence[Arrays],
    *,
    look_at: str = _DECAY,
    moments: Moments[Floats] | None = None,
    rates: Sequence[float] = (),
    first_step: int = 1,
) -> Updater:
    """Hands gradients over one after the other, from weights that are not zero; compares norms, weights, moments."""
    rates = rates or [_RATE] * len(gradients)
    steps = list(enumerate(zip(gradients, rates, strict=True), start=first_step))
    updater = Updater(subject.backend(precision), optimizer, weights_of(_MODEL), moments)
    norms = [updater.update(gradient, rate, step) for step, (gradient, rate) in steps]

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge, weights = oracle(_MODEL, optimizer), weights_of(_MODEL)
        means, expected = moments or Moments(_zeros(), _zeros()), []
        for step, (gradient, rate) in steps:
            weights, means, norm = judge.update(weights, means, gradient, rate, step)
            expected.append(norm)
        return {
            "the norm before clipping": expected,
            **weights,
            **{f"exp_avg.{name}": array for name, array in means.exp_avg.items()},
            **{f"exp_avg_sq.{name}": array for name, array in means.exp_avg_sq.items()},
        }

    observed = {"the norm before clipping": norms, **updater.observed()}
    agree(observed, compute, precision=precision, kind="update", look_at=look_at)
    return updater


def _zeros() -> Arrays:
    return {name: np.zeros(array.shape) for name, array in weights_of(_MODEL).items()}


@check_precisions("optimiser", capability="weight_decay")
def weight_decay_is_decoupled(subject: Subject, precision: str) -> None:
    """Weight decay moves the weights alone: the norm and both moments are those of the gradients without it."""
    means = gradients_of(_MODEL, 200, 0.1)
    squares = {name: array**2 for name, array in gradients_of(_MODEL, 230, 0.2).items()}
    gradients = [gradients_of(_MODEL, 1, 1.0), gradients_of(_MODEL, 30, 0.5)]
    moments = Moments(means, squares)
    _follow(subject, precision, _DECAYING, gradients, moments=moments, first_step=7)


@check_precisions("optimiser", capability="weight_decay")
def weight_decay_is_of_matrices(subject: Subject, precision: str) -> None:
    """Without gradients every matrix shrinks by learning_rate * weight_decay of itself, and no bias moves."""
    look_at = f"{_DECAY}; charkit.weights.decays names the arrays"
    _follow(subject, precision, _DECAYING, [_zeros()], look_at=look_at)


@check_precisions("optimiser", capability="weight_decay")
def weight_decay_takes_the_steps_learning_rate(subject: Subject, precision: str) -> None:
    """Another learning rate at each step: weight decay follows the schedule as Adam does."""
    gradients = [gradients_of(_MODEL, 20 * step, 1.0) for step in range(1, 4)]
    look_at = f"{_DECAY}; the learning rate from Rates, not divided by a bias correction"
    _follow(subject, precision, _DECAYING, gradients, rates=(0.1, 0.02, 0.3), look_at=look_at)


@check_precisions("optimiser", capability="weight_decay")
def weight_decay_is_not_clipped(subject: Subject, precision: str) -> None:
    """Gradients above the bound: they alone are scaled, and the norm is that of the gradients alone."""
    optimizer = _DECAYING.model_copy(update={"grad_clip": 0.5})
    gradients = [gradients_of(_MODEL, 1, 4.0), gradients_of(_MODEL, 30, 0.01), gradients_of(_MODEL, 60, 9.0)]
    look_at = f"{_DECAY}; clip the gradients without the decay"
    _follow(subject, precision, optimizer, gradients, look_at=look_at)


@check_precisions("optimiser", capability="weight_decay")
def weight_decay_is_of_the_weights_before(subject: Subject, precision: str) -> None:
    """A large step: the decay is a share of the weights before the step, not of those after it."""
    gradients = [gradients_of(_MODEL, 90, 1.0)]
    look_at = f"{_DECAY}; both from the weights before the step"
    _follow(subject, precision, _DECAYING, gradients, rates=(1.5,), look_at=look_at)


@check_precisions("optimiser", capability="weight_decay")
def no_weight_decay_moves_nothing(subject: Subject, precision: str) -> None:
    """weight_decay 0 and gradients of zero: the weights stay as they are, to the bit."""
    optimizer = OptimizerConfig()
    look_at = "optimizer.py: weight_decay comes from OptimizerConfig, where 0 is none"
    updater = _follow(subject, precision, optimizer, [_zeros()], look_at=look_at)
    before = {name: subject.backend(precision).tensor(array) for name, array in weights_of(_MODEL).items()}
    same_bits(
        updater.observed(),
        {name: subject.backend(precision).numpy(tensor) for name, tensor in before.items()},
        expected="weights that stay as they are",
        look_at=look_at,
    )
