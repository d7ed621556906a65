"""Declared capabilities: their names are known, and the backend does what they say.

Weight decay (stage optimizer) is checked on weights that don't start at zero, with a decay and a learning rate large
enough that each term of the update shows in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from charkit.backend import Moments
from charkit.capabilities import CAPABILITIES
from charkit.config import OptimizerConfig
from charkit.testing.backend_parts import Updater
from charkit.testing.cases import gradients_of, make_case, weights_of, zeros_of
from charkit.testing.oracle import Arrays, Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require, require_close, require_equal
from charkit.testing.updates import MODEL, Updates, check_updates, moments_of
from charkit.weights import decays

_DECAY = "optimizer.py: w - learning_rate * (weight_decay * w + m_hat / (sqrt(v_hat) + epsilon))"
_RATE = 0.3
#: Their product is half of the last bit of 1 in float32, to which a factor of the weights would be rounded.
_SMALL_RATE, _SMALL_DECAY = 1e-3, 3e-5
#: The largest error of the mean; the rounding of each weight alone leaves a few hundredths.
_DECAY_ERROR = 0.3
#: The bound is above the norm of elements up to 1, and below that of elements up to 4.
_DECAYING = OptimizerConfig(learning_rate=_RATE, weight_decay=0.5, grad_clip=20.0)
_BARELY_DECAYING = _DECAYING.model_copy(update={"weight_decay": _SMALL_DECAY})


@check("import")
def declared_capabilities_are_known(subject: Subject) -> None:
    """capabilities is a frozenset of names that this version of charkit knows."""
    declared: Any = getattr(subject.backend_class(), "capabilities", frozenset())
    require(
        isinstance(declared, frozenset) and declared <= CAPABILITIES.keys(),
        expected=f"capabilities: a frozenset of known names ({', '.join(sorted(CAPABILITIES))})",
        got=repr(declared),
        look_at="backend.py: the class attribute capabilities",
    )


def _updates(optimizer: OptimizerConfig, gradients: Sequence[Arrays], **more: Any) -> Updates:
    """Updates from weights that are not zero."""
    return Updates(optimizer, gradients, weights=weights_of(MODEL), **more)


@check_precisions("optimizer", capability="weight_decay")
def weight_decay_is_decoupled(subject: Subject, precision: str) -> None:
    """Weight decay changes only the weights: the norm and both moments are the same as without it."""
    gradients = [gradients_of(MODEL, 1, 1.0), gradients_of(MODEL, 30, 0.5)]
    updates = _updates(_DECAYING, gradients, moments=moments_of(0.1, 0.2), first_step=7)
    check_updates(subject, precision, updates, look_at=_DECAY)


@check_precisions("optimizer", capability="weight_decay", among=("float32",))
def weight_decay_of_eleven_layers(subject: Subject, precision: str) -> None:
    """The matrices of eleven one-unit layers shrink, even after an optimizer with a different decay was used."""
    deep = make_case(num_layers=11, lstm_size=1).model
    for optimizer, model in ((_BARELY_DECAYING, MODEL), (_DECAYING, deep)):
        weights, zeros = weights_of(model), zeros_of(model)
        updater = Updater(subject.backend(precision), optimizer, weights)
        updater.update(zeros, _RATE, 1)
        expected, _, _ = Oracle(model, optimizer).update(weights, Moments(zeros, zeros), zeros, _RATE, 1)
        require_close(
            {name: array for name, array in updater.observed().items() if name in weights},
            expected,
            precision=precision,
            kind="update",
            look_at="optimizer.py: charkit.weights.decays determines which arrays decay; what is cached per "
            "configuration",
        )


@check_precisions("optimizer", capability="weight_decay")
def weight_decay_applies_to_matrices_only(subject: Subject, precision: str) -> None:
    """With zero gradients, every matrix shrinks by the fraction learning_rate * weight_decay, and no bias changes."""
    look_at = f"{_DECAY}; charkit.weights.decays determines which arrays decay"
    check_updates(subject, precision, _updates(_DECAYING, [zeros_of(MODEL)]), look_at=look_at)


@check_precisions("optimizer", capability="weight_decay")
def weight_decay_follows_the_schedule(subject: Subject, precision: str) -> None:
    """With a different learning rate at each step, weight decay follows the schedule as Adam does."""
    gradients = [gradients_of(MODEL, 20 * step, 1.0) for step in range(1, 4)]
    look_at = f"{_DECAY}; the learning rate from Rates, not divided by a bias correction"
    check_updates(subject, precision, _updates(_DECAYING, gradients, rates=(0.1, 0.02, 0.3)), look_at=look_at)


@check_precisions("optimizer", capability="weight_decay", among=("float32",))
def weight_decay_is_not_clipped(subject: Subject, precision: str) -> None:
    """Clipping scales only the gradients, and the norm is that of the gradients without weight decay."""
    gradients = [gradients_of(MODEL, 1, 4.0), gradients_of(MODEL, 30, 0.01), gradients_of(MODEL, 60, 9.0)]
    look_at = f"{_DECAY}; weight decay is neither clipped nor counted toward the norm"
    check_updates(subject, precision, _updates(_DECAYING, gradients), look_at=look_at)


@check_precisions("optimizer", capability="weight_decay")
def weight_decay_uses_the_weights_before_the_step(subject: Subject, precision: str) -> None:
    """With large steps, the decay is a share of the weights before the step, and that share may exceed 1."""
    updates = _updates(
        _DECAYING, [gradients_of(MODEL, stream, 1.0) for stream in (90, 120)], rates=(1.5, 4.5)
    )
    look_at = f"{_DECAY}; in both places, w is the weight before the step; learning_rate * weight_decay may be above 1"
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer", capability="weight_decay", among=("float32",))
def small_weight_decay_is_not_rounded(subject: Subject, precision: str) -> None:
    """A decay below half of a weight's last bit still shows in the mean of many weights."""
    weights = {name: array.astype(np.float32).astype(np.float64) for name, array in weights_of(MODEL).items()}
    gradients = [gradients_of(MODEL, 1, 0.1)]
    updates = Updates(_BARELY_DECAYING, gradients, rates=(_SMALL_RATE,), weights=weights)
    updater, _ = updates.run(subject, precision)
    expected, observed = updates.compute(Oracle), updater.observed()
    matrices = [name for name in weights if decays(name)]
    excess = sum(float(np.vdot(expected[name] - observed[name], weights[name])) for name in matrices)
    scale = sum(float(np.vdot(weights[name], weights[name])) for name in matrices)
    ratio = 1.0 + excess / scale / (_SMALL_RATE * _SMALL_DECAY)
    require(
        abs(ratio - 1.0) < _DECAY_ERROR,
        expected="matrices that shrink on average by the fraction learning_rate * weight_decay",
        got=f"{ratio:.2f} times as much",
        look_at="optimizer.py: add weight_decay * w to m_hat / (sqrt(v_hat) + epsilon), and subtract learning_rate "
        "times the sum from w; a factor of 1 - learning_rate * weight_decay is rounded, which shifts all weights in "
        "the same direction",
    )


@check_precisions("optimizer", capability="weight_decay")
def zero_weight_decay_changes_nothing(subject: Subject, precision: str) -> None:
    """With a weight_decay of 0 and zero gradients, the weights stay the same bit for bit."""
    look_at = (
        "optimizer.py: weight_decay comes from OptimizerConfig, where 0 means none; a step depends on nothing but "
        "weights, moments, gradients and rates"
    )
    updates = _updates(OptimizerConfig(grad_clip=20.0), [zeros_of(MODEL)], rates=(_RATE,))
    updater = check_updates(subject, precision, updates, look_at=look_at)
    backend = subject.backend(precision)
    before = {name: backend.tensor(array) for name, array in weights_of(MODEL).items()}
    require_equal(
        updater.observed(),
        {name: backend.numpy(tensor) for name, tensor in before.items()},
        expected="unchanged weights",
        look_at=look_at,
    )
