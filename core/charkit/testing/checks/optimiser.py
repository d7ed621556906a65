"""Stage optimiser: clipping by the global norm, then Adam, on gradients that are handed in.

Where an update is judged the weights start at zero, so that what is compared is the change itself and not
a small change of large weights, which float32 would hide.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.cases import gradients_of, reordered, zeros_of
from charkit.testing.judge import is_right, near, require, same_bits
from charkit.testing.oracle import Arrays, Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject
from charkit.testing.updates import MODEL, Updates, follow, moments_of

_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm)"
_ADAM = "optimizer.py: m and v, then learning_rate * m_hat / (sqrt(v_hat) + epsilon)"
#: Few configurations, since each compiles anew. The bound is above the norm of elements up to 1, and below that of
#: elements up to 4.
_BOUNDED = OptimizerConfig(grad_clip=20.0)


def _gradients(stream: int, size: float) -> Arrays:
    return gradients_of(MODEL, stream, size)


@check_precisions("optimiser")
def first_step_of_adam(subject: Subject, precision: str) -> None:
    """Adam's first step from zero moments, gradients below the bound: weights, both moments, the norm."""
    follow(subject, precision, Updates(_BOUNDED, [_gradients(1, 1.0)]), look_at=_ADAM)


@check_precisions("optimiser")
def ten_steps_of_adam(subject: Subject, precision: str) -> None:
    """Ten steps with other gradients each: the moments are kept, and so are the bias corrections."""
    gradients = [_gradients(100 + 20 * step, 0.5) for step in range(10)]
    follow(subject, precision, Updates(_BOUNDED, gradients), look_at=_ADAM)


@check_precisions("optimiser")
def clip_bounds_the_global_norm(subject: Subject, precision: str) -> None:
    """Gradients above the bound are scaled together, and the norm that is returned is the one before clipping."""
    gradients = [_gradients(1, 4.0), _gradients(30, 0.01), _gradients(60, 9.0)]
    follow(subject, precision, Updates(_BOUNDED, gradients), look_at=_CLIP)


@check_precisions("optimiser")
def small_gradients_are_not_scaled(subject: Subject, precision: str) -> None:
    """Gradients below the bound are kept as they are."""
    updates = Updates(_BOUNDED, [_gradients(1, 0.01)])
    follow(subject, precision, updates, look_at=_CLIP)


@check_precisions("optimiser", among=("float32",))
def grad_clip_zero_is_off(subject: Subject, precision: str) -> None:
    """grad_clip 0 means no bound, however large the gradients."""
    updates = Updates(OptimizerConfig(grad_clip=0.0), [_gradients(1, 50.0)])
    look_at = "optimizer.py: use OptimizerConfig.clip_threshold, which is infinite where clipping is off"
    follow(subject, precision, updates, look_at=look_at)


@check_precisions("optimiser")
def epsilon_is_outside_the_root(subject: Subject, precision: str) -> None:
    """Gradients around epsilon: where epsilon stands, and how large it is, decides the step."""
    for size in (1e-8, 1e-7):
        updates = Updates(_BOUNDED, [_gradients(1, size), _gradients(30, size)])
        follow(subject, precision, updates, look_at=_ADAM)


@check_precisions("optimiser")
def clip_is_exact_for_small_norms(subject: Subject, precision: str) -> None:
    """A bound of 1e-5 just under the norm: an epsilon in the clip's denominator shows here."""
    updates = Updates(OptimizerConfig(grad_clip=1e-5), [_gradients(1, 2e-6)])
    follow(subject, precision, updates, look_at=f"{_CLIP}, no epsilon")


@check_precisions("optimiser", among=("float32",))
def beta1_is_the_configurations(subject: Subject, precision: str) -> None:
    """A beta1 of 0.8, and of 0, all else as it is by default: the mean of the gradients decays by it."""
    for beta1 in (0.8, 0.0):
        _three_steps(subject, precision, _BOUNDED.model_copy(update={"beta1": beta1}), 1.0)


@check_precisions("optimiser", among=("float32",))
def beta2_is_the_configurations(subject: Subject, precision: str) -> None:
    """A beta2 of 0.95, and one so near to 1 that float32 does not hold 1 - beta2, all else as it is by default."""
    for beta2 in (0.95, 0.99999):
        _three_steps(subject, precision, _BOUNDED.model_copy(update={"beta2": beta2}), 1.0)


@check_precisions("optimiser", among=("float32",))
def epsilon_is_the_configurations(subject: Subject, precision: str) -> None:
    """An epsilon of 1e-4, all else as it is by default, and gradients as small as it."""
    _three_steps(subject, precision, _BOUNDED.model_copy(update={"epsilon": 1e-4}), 1e-4)


def _three_steps(subject: Subject, precision: str, optimizer: OptimizerConfig, size: float) -> None:
    updates = Updates(optimizer, [_gradients(20 * step, size) for step in range(1, 4)])
    follow(subject, precision, updates, look_at=f"{_ADAM}; beta1, beta2 and epsilon from OptimizerConfig")


@check_precisions("optimiser", among=("float32",))
def optimizers_side_by_side(subject: Subject, precision: str) -> None:
    """Two optimizers that differ in epsilon alone, made before either is used: each takes its own."""
    # Python gives these two numbers one hash, by which a backend may look up what it has compiled.
    several = [
        Updates(_BOUNDED.model_copy(update={"epsilon": epsilon}), [_gradients(1, 1.0)])
        for epsilon in (1.0, 2.0**-61)
    ]
    for updates in several:
        subject.updater(precision, updates.optimizer, updates.weights)
    look_at = "backend.py: what is compiled or kept by configuration; optimizer.py: epsilon"
    for updates, other in zip(several, reversed(several), strict=True):
        _, observed = updates.run(subject, precision)
        require(
            not is_right(observed, other.compute, precision, "update"),
            expected=f"the update with an epsilon of {updates.optimizer.epsilon:g}, as it was asked for",
            got="the update of the optimizer beside it",
            look_at=look_at,
        )
        follow(subject, precision, updates, look_at=look_at)


@check_precisions("optimiser")
def gradients_whose_squares_vanish(subject: Subject, precision: str) -> None:
    """Gradients so small that their squares are zero, and so the norm: they are kept as they are."""
    small = {"float64": 1e-170}.get(precision, 1e-24)
    updates = Updates(_BOUNDED, [_gradients(1, small)])
    _, observed = updates.run(subject, precision)

    def means(arrays: Mapping[str, ArrayLike]) -> dict[str, ArrayLike]:
        return {name: np.asarray(arrays[name]) / small for name in arrays if name.startswith("exp_avg.")}

    look_at = f"{_CLIP}, and 1 where the norm is 0"
    near(means(observed), means(updates.compute(Oracle)), precision=precision, kind="update", look_at=look_at)


@check_precisions("optimiser", among=("float64",))
def tiny_squares_are_kept(subject: Subject, precision: str) -> None:
    """Gradients whose squares only float64 can hold, and an epsilon that is smaller: a step of the whole length."""
    optimizer = _BOUNDED.model_copy(update={"epsilon": 1e-30})
    look_at = f"{_ADAM}; nothing is rounded to zero, or held in float32"
    follow(subject, precision, Updates(optimizer, [_gradients(1, 1e-21)]), look_at=look_at)


@check_precisions("optimiser")
def arrays_are_joined_by_name(subject: Subject, precision: str) -> None:
    """Weights, gradients and both moments, each in an order of its own: they are joined by name."""
    means, squares = moments_of(0.1, 0.2)
    moments = Moments(reordered(means, 5), reordered(squares, 6))
    updates = Updates(_BOUNDED, [reordered(_gradients(1, 1.0), 3)], moments=moments, first_step=1000)
    look_at = "optimizer.py: look each array up by its name; the order of a dictionary means nothing"
    follow(subject, precision, updates, look_at=look_at)


@check_precisions("optimiser")
def corrections_come_from_the_rates(subject: Subject, precision: str) -> None:
    """A run that goes on at step 1,000 with its moments: the bias corrections are those of that step."""
    updates = Updates(_BOUNDED, [_gradients(1, 1.0)], moments=moments_of(0.1, 0.2), first_step=1000)
    look_at = f"{_ADAM}; bias corrections from Rates, no step count of the optimiser's own"
    follow(subject, precision, updates, look_at=look_at)


@check_precisions("optimiser")
def learning_rate_is_the_steps(subject: Subject, precision: str) -> None:
    """Another learning rate at each step, tiny ones, 0 and 7 too: the schedule's, not the configuration's."""
    gradients = [_gradients(20 * step, 1.0) for step in range(1, 6)]
    updates = Updates(_BOUNDED, gradients, rates=(0.01, 0.0, 1e-7, 0.03, 7.0))
    follow(subject, precision, updates, look_at=f"{_ADAM}; the learning rate from Rates")


@check_precisions("optimiser")
def zero_gradients_move_nothing(subject: Subject, precision: str) -> None:
    """All gradients zero: the norm is 0, nothing is divided by it, and the weights stay."""
    updates = Updates(_BOUNDED, [zeros_of(MODEL)])
    follow(subject, precision, updates, look_at="optimizer.py: a norm of 0")


@check_precisions("optimiser")
def moments_move_on_without_gradients(subject: Subject, precision: str) -> None:
    """A gradient of zero, of some columns and then of all: the moments decay, and the weights move by them."""
    some = _gradients(1, 1.0)
    some["lstm.0.weight_ih"][:, ::2] = 0.0  # symbols that a batch does not have
    updates = Updates(_BOUNDED, [some, zeros_of(MODEL)], moments=moments_of(0.1, 0.2), first_step=7)
    follow(subject, precision, updates, look_at=f"{_ADAM}, of every element, whatever its gradient is")


@check_precisions("optimiser")
def order_in_memory_means_nothing(subject: Subject, precision: str) -> None:
    """Weights, moments and gradients that were given as transposed arrays are updated like all others."""
    moments = Moments(*(_transposed(arrays) for arrays in moments_of(0.1, 0.2)))
    updates = Updates(_BOUNDED, [_transposed(_gradients(1, 1.0))], moments=moments, first_step=7)
    look_at = (
        "backend.py: tensor() of an array whose columns lie side by side; optimizer.py: views of its memory"
    )
    follow(subject, precision, updates, look_at=look_at)


def _transposed(arrays: Arrays) -> Arrays:
    """The same numbers, the columns of each array side by side in memory."""
    return {name: np.asfortranarray(array) for name, array in arrays.items()}


@check_precisions("optimiser")
def returned_weights_are_a_new_dictionary(subject: Subject, precision: str) -> None:
    """The dictionary of weights that an update returns is a new object with the same names."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    before = updater.weights
    updater.update(_gradients(30, 1.0), 0.001, 1)
    require(
        updater.weights is not before and updater.weights.keys() == before.keys(),
        expected=f"a new dictionary with the names {', '.join(before)}",
        got="the same object" if updater.weights is before else ", ".join(updater.weights),
        look_at="optimizer.py: return dict(weights), also where the tensors were updated in place",
    )


@check_precisions("optimiser")
def gradients_are_not_changed(subject: Subject, precision: str) -> None:
    """An update that clips leaves the gradients that it was given as they were: they are not given away."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    gradients = updater.tensors(_gradients(30, 4.0))
    before = updater.arrays(gradients)
    updater.update_tensors(gradients, 0.001, 1)
    look_at = "optimizer.py: gradients are read only; weights and moments may be written to"
    same_bits(updater.arrays(gradients), before, expected="gradients as they were", look_at=look_at)


@check_precisions("optimiser")
def copies_survive_the_update(subject: Subject, precision: str) -> None:
    """Weights and moments that were copied out before an update don't change with it."""
    updater = subject.updater(precision, _BOUNDED, _gradients(1, 1.0))
    updater.update(_gradients(30, 1.0), 0.001, 1)
    held = updater.observed()
    kept = {name: array.copy() for name, array in held.items()}
    updater.update(_gradients(60, 1.0), 0.001, 2)
    look_at = "backend.py: numpy() returns a copy, not a view of a tensor that the next update changes"
    same_bits(held, kept, expected="arrays that stay as they came out", look_at=look_at)
