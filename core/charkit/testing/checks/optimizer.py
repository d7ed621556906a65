"""Stage optimizer: clipping by the global norm, then Adam, on given gradients.

Weights start at zero, so that the change itself is compared and not a small change of large weights, which float32
would hide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.cases import gradients_of, reordered, zeros_of
from charkit.testing.oracle import Arrays, Oracle
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import is_right, require, require_close, require_equal
from charkit.testing.updates import MODEL, Updates, check_updates, moments_of

_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm)"
_ADAM = "optimizer.py: m and v, then learning_rate * m_hat / (sqrt(v_hat) + epsilon)"
#: Few configurations, since each has to be compiled. The bound is above the norm of elements up to 1, and below that of
#: elements up to 4.
_BOUNDED = OptimizerConfig(grad_clip=20.0)
_EXTREME_BETAS = {"beta1": 0.0, "beta2": 0.99999}
_SMALL_BOUND_AND_EPSILON = OptimizerConfig(grad_clip=1e-5, epsilon=1e-16)
_LARGE_EPSILON = 1e-4


def _gradients(stream: int, size: float) -> Arrays:
    return gradients_of(MODEL, stream, size)


@check_precisions("optimizer")
def first_step_of_adam(subject: Subject, precision: str) -> None:
    """Adam's first step, with gradients below the clipping threshold: the weights, both moments and the norm."""
    check_updates(subject, precision, Updates(_BOUNDED, [_gradients(1, 1.0)]), look_at=_ADAM)


@check_precisions("optimizer")
def ten_steps_of_adam(subject: Subject, precision: str) -> None:
    """Ten steps with different gradients: moments and bias corrections carry over from step to step."""
    gradients = [_gradients(100 + 20 * step, 0.5) for step in range(10)]
    check_updates(subject, precision, Updates(_BOUNDED, gradients), look_at=_ADAM)


@check_precisions("optimizer")
def clip_bounds_the_global_norm(subject: Subject, precision: str) -> None:
    """Gradients above the clipping threshold are scaled together, and the returned norm is the one before clipping."""
    gradients = [_gradients(1, 4.0), _gradients(30, 0.01), _gradients(60, 9.0)]
    check_updates(subject, precision, Updates(_BOUNDED, gradients), look_at=_CLIP)


@check_precisions("optimizer")
def small_gradients_are_not_scaled(subject: Subject, precision: str) -> None:
    """Gradients below the clipping threshold are not scaled."""
    updates = Updates(_BOUNDED, [_gradients(1, 0.01)])
    check_updates(subject, precision, updates, look_at=_CLIP)


@check_precisions("optimizer", among=("float32",))
def grad_clip_zero_is_off(subject: Subject, precision: str) -> None:
    """A grad_clip of 0 turns clipping off, however large the gradients are."""
    updates = Updates(OptimizerConfig(grad_clip=0.0), [_gradients(1, 50.0)])
    look_at = "optimizer.py: use OptimizerConfig.clip_threshold, which is infinite if clipping is off"
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer")
def epsilon_is_outside_the_root(subject: Subject, precision: str) -> None:
    """Gradients about as large as epsilon: its size and its place in the formula determine the step."""
    for size in (1e-8, 1e-7):
        updates = Updates(_BOUNDED, [_gradients(1, size), _gradients(30, size)])
        check_updates(subject, precision, updates, look_at=_ADAM)


@check("optimizer")
def clip_is_exact_for_small_norms(subject: Subject) -> None:
    """A clipping threshold of 1e-5, just below the norm: an epsilon in the denominator would show here."""
    updates = Updates(_SMALL_BOUND_AND_EPSILON, [_gradients(1, 2e-6)])
    check_updates(subject, subject.finest(), updates, look_at=f"{_CLIP}, without an epsilon")


@check_precisions("optimizer", among=("float32",))
def beta1_comes_from_the_configuration(subject: Subject, precision: str) -> None:
    """A beta1 of 0.8, with defaults otherwise, and one of 0: the mean of the gradients decays at that rate."""
    for betas in ({"beta1": 0.8}, _EXTREME_BETAS):
        _three_steps(subject, precision, _BOUNDED.model_copy(update=betas), 1.0)


@check_precisions("optimizer", among=("float32",))
def beta2_comes_from_the_configuration(subject: Subject, precision: str) -> None:
    """A beta2 of 0.95, with defaults otherwise, and one so close to 1 that float32 rounds 1 - beta2 noticeably."""
    for betas in ({"beta2": 0.95}, _EXTREME_BETAS):
        _three_steps(subject, precision, _BOUNDED.model_copy(update=betas), 1.0)


@check_precisions("optimizer", among=("float32",))
def epsilon_comes_from_the_configuration(subject: Subject, precision: str) -> None:
    """An epsilon of 1e-4, with defaults otherwise, and equally small gradients."""
    _three_steps(subject, precision, _BOUNDED.model_copy(update={"epsilon": _LARGE_EPSILON}), 1e-4)


def _three_steps(subject: Subject, precision: str, optimizer: OptimizerConfig, size: float) -> None:
    updates = Updates(optimizer, [_gradients(20 * step, size) for step in range(1, 4)])
    look_at = (
        f"{_ADAM}; beta1, beta2 and epsilon from OptimizerConfig; backend.py: what is compiled or cached per "
        "configuration"
    )
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer", among=("float32",))
def optimizers_side_by_side(subject: Subject, precision: str) -> None:
    """Two optimizers that differ only in epsilon, created before either is used: each uses its own."""
    # Both numbers have the same hash in Python, by which a backend may look up what it has compiled.
    alternatives = [
        Updates(_BOUNDED.model_copy(update={"epsilon": epsilon}), [_gradients(1, 1e-4)])
        for epsilon in (_LARGE_EPSILON, _LARGE_EPSILON * 2.0**-61)
    ]
    for updates in alternatives:
        subject.updater(precision, updates.optimizer, updates.weights)
    look_at = "backend.py: what is compiled or cached per configuration; optimizer.py: epsilon"
    for updates, other in zip(alternatives, reversed(alternatives), strict=True):
        _, observed = updates.run(subject, precision)
        require(
            not is_right(observed, other.compute, precision, "update"),
            expected=f"the update with the configured epsilon of {updates.optimizer.epsilon:g}",
            got="the update of the other optimizer",
            look_at=look_at,
        )
        check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer")
def gradients_whose_squares_underflow(subject: Subject, precision: str) -> None:
    """Gradients so small that their squares, and therefore the norm, are zero: they are not scaled."""
    small = {"float64": 1e-170}.get(precision, 1e-24)
    updates = Updates(_BOUNDED, [_gradients(1, small)])
    _, observed = updates.run(subject, precision)

    def means(arrays: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        return {name: np.asarray(arrays[name]) / small for name in arrays if name.startswith("exp_avg.")}

    look_at = f"{_CLIP}, or times 1 if the norm is 0"
    require_close(
        means(observed), means(updates.compute(Oracle)), precision=precision, kind="update", look_at=look_at
    )


@check_precisions("optimizer", among=("float64",))
def tiny_second_moments_are_kept(subject: Subject, precision: str) -> None:
    """Gradients whose squares only float64 can represent, and the smallest epsilon: the squares affect the step."""
    look_at = f"{_ADAM}; nothing is rounded to zero or stored in float32"
    updates = Updates(_SMALL_BOUND_AND_EPSILON, [_gradients(1, 1e-21)])
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer")
def arrays_are_joined_by_name(subject: Subject, precision: str) -> None:
    """Weights, gradients and both moments are matched by name, whatever the order of each dictionary."""
    means, squares = moments_of(0.1, 0.2)
    moments = Moments(reordered(means, 5), reordered(squares, 6))
    updates = Updates(_BOUNDED, [reordered(_gradients(1, 1.0), 3)], moments=moments, first_step=1000)
    look_at = "optimizer.py: look up each array by its name; the order of a dictionary does not matter"
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer")
def bias_corrections_come_from_the_rates(subject: Subject, precision: str) -> None:
    """A run that resumes at step 1,000 with its moments uses the bias corrections of that step."""
    updates = Updates(_BOUNDED, [_gradients(1, 1.0)], moments=moments_of(0.1, 0.2), first_step=1000)
    look_at = f"{_ADAM}; bias corrections from Rates, no separate step count"
    check_updates(subject, precision, updates, look_at=look_at)


@check_precisions("optimizer")
def learning_rate_follows_the_schedule(subject: Subject, precision: str) -> None:
    """The learning rate is the one given for each step, not the configured one, even if it is tiny, 0 or 7."""
    gradients = [_gradients(20 * step, 1.0) for step in range(1, 6)]
    updates = Updates(_BOUNDED, gradients, rates=(0.01, 0.0, 1e-7, 0.03, 7.0))
    check_updates(subject, precision, updates, look_at=f"{_ADAM}; the learning rate from Rates")


@check_precisions("optimizer")
def zero_gradients_change_no_weights(subject: Subject, precision: str) -> None:
    """With zero gradients, the norm is 0, nothing is divided by it, and the weights stay unchanged."""
    updates = Updates(_BOUNDED, [zeros_of(MODEL)])
    check_updates(subject, precision, updates, look_at="optimizer.py: don't divide by a norm of 0")


@check_precisions("optimizer")
def moments_decay_without_gradients(subject: Subject, precision: str) -> None:
    """With zero gradients, first in some columns and then in all, the moments decay and still change the weights."""
    some = _gradients(1, 1.0)
    some["lstm.0.weight_ih"][:, ::2] = 0.0  # symbols that are absent from a batch
    updates = Updates(_BOUNDED, [some, zeros_of(MODEL)], moments=moments_of(0.1, 0.2), first_step=7)
    check_updates(
        subject, precision, updates, look_at=f"{_ADAM}, for every element, whatever its gradient is"
    )


@check_precisions("optimizer")
def memory_order_does_not_matter(subject: Subject, precision: str) -> None:
    """Weights, moments and gradients may be transposed arrays: the update is the same as for any others."""
    moments = Moments(*(_transposed(arrays) for arrays in moments_of(0.1, 0.2)))
    updates = Updates(_BOUNDED, [_transposed(_gradients(1, 1.0))], moments=moments, first_step=7)
    look_at = "backend.py: tensor() for an array in column-major order; optimizer.py: views of its memory"
    check_updates(subject, precision, updates, look_at=look_at)


def _transposed(arrays: Arrays) -> Arrays:
    """The same numbers in column-major order."""
    return {name: np.asfortranarray(array) for name, array in arrays.items()}


@check_precisions("optimizer")
def returned_weights_are_a_new_dictionary(subject: Subject, precision: str) -> None:
    """An update returns the weights in a new dictionary with the same names."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    before = updater.weights
    updater.update(_gradients(30, 1.0), 0.001, 1)
    require(
        updater.weights is not before and updater.weights.keys() == before.keys(),
        expected=f"a new dictionary with the names {', '.join(before)}",
        got="the same object" if updater.weights is before else ", ".join(updater.weights),
        look_at="optimizer.py: return dict(weights), even if the tensors were updated in place",
    )


@check_precisions("optimizer")
def gradients_are_not_changed(subject: Subject, precision: str) -> None:
    """An update that clips leaves the given gradients unchanged; it must not consume them."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    gradients = updater.tensors(_gradients(30, 4.0))
    before = updater.arrays(gradients)
    updater.update_tensors(gradients, 0.001, 1)
    look_at = "optimizer.py: gradients are read-only; weights and moments may be written to"
    require(
        gradients.keys() == before.keys(),
        expected="the same names in the dictionary of gradients",
        got=", ".join(gradients) or "none",
        look_at=look_at,
    )
    require_equal(updater.arrays(gradients), before, expected="unchanged gradients", look_at=look_at)


@check_precisions("optimizer")
def copies_survive_the_update(subject: Subject, precision: str) -> None:
    """Weights and moments copied out before an update don't change with it."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    updater.update(_gradients(30, 1.0), 0.001, 1)
    copies = updater.observed()
    before = {name: array.copy() for name, array in copies.items()}
    updater.update(_gradients(60, 1.0), 0.001, 2)
    look_at = "backend.py: numpy() returns a copy, not a view of a tensor that the next update changes"
    require_equal(copies, before, expected="copies that stay unchanged", look_at=look_at)
