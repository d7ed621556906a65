"""Stage optimiser: clipping by the global norm, then Adam, on gradients that are handed in.

Where an update is judged the weights start at zero, so that what is compared is the change itself and not
a small change of large weights, which float32 would hide.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Moments
from charkit.config import OptimizerConfig
from charkit.testing.border import of_precision
from charkit.testing.cases import gradients_of, make_case, reordered
from charkit.testing.judge import Kind, agree, require, same_bits
from charkit.testing.oracle import Arrays, Floats, Oracle
from charkit.testing.registry import check_precisions
from charkit.testing.subject import Subject, Updater

_CLIP = "optimizer.py: all gradients times min(1, grad_clip / global norm)"
_ADAM = "optimizer.py: m and v, then learning_rate * m_hat / (sqrt(v_hat) + epsilon)"
_UPDATE: Kind = "update"
_MODEL = make_case().model
_LOOSE = OptimizerConfig(grad_clip=1000.0)


def _zeros() -> Arrays:
    return {name: np.zeros(array.shape) for name, array in gradients_of(_MODEL, 1, 1.0).items()}


def _follow(
    subject: Subject,
    precision: str,
    optimizer: OptimizerConfig,
    gradients: Sequence[Arrays],
    *,
    look_at: str,
    moments: Moments[Floats] | None = None,
    rates: Sequence[float] = (),
    first_step: int = 1,
) -> None:
    """Hands the gradients over one after the other; compares all norms, then weights and moments."""
    rates = rates or [optimizer.learning_rate] * len(gradients)
    updater = Updater(subject.backend(precision), optimizer, _zeros(), moments)
    norms = [
        updater.update(gradient, rate, first_step + index)
        for index, (gradient, rate) in enumerate(zip(gradients, rates, strict=True))
    ]

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge, weights = oracle(_MODEL, optimizer), _zeros()
        means, expected = moments or Moments(_zeros(), _zeros()), []
        for index, (gradient, rate) in enumerate(zip(gradients, rates, strict=True)):
            weights, means, norm = judge.update(weights, means, gradient, rate, first_step + index)
            expected.append(norm)
        return {
            "the norm before clipping": expected,
            **weights,
            **{f"exp_avg.{name}": array for name, array in means.exp_avg.items()},
            **{f"exp_avg_sq.{name}": array for name, array in means.exp_avg_sq.items()},
        }

    arrays = updater.observed()
    observed = {"the norm before clipping": norms, **arrays}
    agree(observed, compute, precision=precision, kind=_UPDATE, look_at=look_at)
    of_precision(arrays, precision, "optimizer.py")


@check_precisions("optimiser")
def first_step_of_adam(subject: Subject, precision: str) -> None:
    """Adam's first step from zero moments, gradients below the bound: weights, both moments, the norm."""
    _follow(subject, precision, _LOOSE, [gradients_of(_MODEL, 1, 1.0)], look_at=_ADAM)


@check_precisions("optimiser")
def ten_steps_of_adam(subject: Subject, precision: str) -> None:
    """Ten steps with other gradients each: the moments are kept, and so are the bias corrections."""
    gradients = [gradients_of(_MODEL, 100 + 20 * step, 0.5) for step in range(10)]
    _follow(subject, precision, _LOOSE, gradients, look_at=_ADAM)


@check_precisions("optimiser")
def clip_bounds_the_global_norm(subject: Subject, precision: str) -> None:
    """Gradients above the bound are scaled together, and the norm that is told is the one before."""
    gradients = [gradients_of(_MODEL, 1, 4.0), gradients_of(_MODEL, 30, 0.01), gradients_of(_MODEL, 60, 9.0)]
    _follow(subject, precision, OptimizerConfig(grad_clip=1.0), gradients, look_at=_CLIP)


@check_precisions("optimiser")
def clip_is_exact_for_small_norms(subject: Subject, precision: str) -> None:
    """A bound of 1e-5 just under the norm: an epsilon in the clip's denominator shows here."""
    gradients = [gradients_of(_MODEL, 1, 2e-6)]
    optimizer = OptimizerConfig(grad_clip=1e-5)
    _follow(subject, precision, optimizer, gradients, look_at=f"{_CLIP}, no epsilon")


@check_precisions("optimiser")
def small_gradients_are_not_scaled(subject: Subject, precision: str) -> None:
    """Gradients below the bound are kept as they are."""
    _follow(
        subject, precision, OptimizerConfig(grad_clip=5.0), [gradients_of(_MODEL, 1, 0.01)], look_at=_CLIP
    )


@check_precisions("optimiser")
def grad_clip_zero_is_off(subject: Subject, precision: str) -> None:
    """grad_clip 0 means no bound, however large the gradients."""
    optimizer = OptimizerConfig(grad_clip=0.0)
    look_at = "optimizer.py: use OptimizerConfig.clip_threshold, which is infinite where clipping is off"
    _follow(subject, precision, optimizer, [gradients_of(_MODEL, 1, 50.0)], look_at=look_at)


@check_precisions("optimiser")
def epsilon_is_outside_the_root(subject: Subject, precision: str) -> None:
    """Gradients around epsilon: where epsilon stands, and how large it is, decides the step."""
    for size in (1e-8, 1e-7):
        gradients = [gradients_of(_MODEL, 1, size), gradients_of(_MODEL, 30, size)]
        _follow(subject, precision, OptimizerConfig(), gradients, look_at=_ADAM)


@check_precisions("optimiser")
def beta1_is_the_configurations(subject: Subject, precision: str) -> None:
    """A beta1 of 0.8, and of 0, all else as it is by default: the mean of the gradients decays by it."""
    for beta1 in (0.8, 0.0):
        _three_steps(subject, precision, _LOOSE.model_copy(update={"beta1": beta1}), 1.0)


@check_precisions("optimiser")
def beta2_is_the_configurations(subject: Subject, precision: str) -> None:
    """A beta2 of 0.95, all else as it is by default: the mean of their squares decays by it."""
    _three_steps(subject, precision, _LOOSE.model_copy(update={"beta2": 0.95}), 1.0)


@check_precisions("optimiser")
def epsilon_is_the_configurations(subject: Subject, precision: str) -> None:
    """An epsilon of 1e-4, all else as it is by default, and gradients as small as it."""
    _three_steps(subject, precision, _LOOSE.model_copy(update={"epsilon": 1e-4}), 1e-4)


def _three_steps(subject: Subject, precision: str, optimizer: OptimizerConfig, size: float) -> None:
    gradients = [gradients_of(_MODEL, 20 * step, size) for step in range(1, 4)]
    look_at = f"{_ADAM}; beta1, beta2 and epsilon from OptimizerConfig"
    _follow(subject, precision, optimizer, gradients, look_at=look_at)


@check_precisions("optimiser")
def arrays_are_joined_by_name(subject: Subject, precision: str) -> None:
    """Weights, gradients and both moments, each in an order of its own: they are joined by name."""
    means, squares = gradients_of(_MODEL, 200, 0.1), _squares(gradients_of(_MODEL, 230, 0.2))
    _follow(
        subject,
        precision,
        _LOOSE,
        [reordered(gradients_of(_MODEL, 1, 1.0), 3)],
        moments=Moments(reordered(means, 5), reordered(squares, 6)),
        first_step=1000,
        look_at="optimizer.py: look each array up by its name; the order of a dictionary means nothing",
    )


@check_precisions("optimiser")
def corrections_come_from_the_rates(subject: Subject, precision: str) -> None:
    """A run that goes on at step 1,000 with its moments: the bias corrections are those of that step."""
    moments = Moments(gradients_of(_MODEL, 200, 0.1), _squares(gradients_of(_MODEL, 230, 0.2)))
    _follow(
        subject,
        precision,
        _LOOSE,
        [gradients_of(_MODEL, 1, 1.0)],
        moments=moments,
        first_step=1000,
        look_at=f"{_ADAM}; bias corrections from Rates, no step count of the optimiser's own",
    )


def _squares(arrays: Arrays) -> Arrays:
    return {name: array**2 for name, array in arrays.items()}


@check_precisions("optimiser")
def learning_rate_is_the_steps(subject: Subject, precision: str) -> None:
    """Another learning rate at each step, tiny ones and 0 too: the schedule's, not the configuration's."""
    gradients = [gradients_of(_MODEL, 20 * step, 1.0) for step in range(1, 5)]
    look_at = f"{_ADAM}; the learning rate from Rates"
    _follow(subject, precision, _LOOSE, gradients, rates=(0.01, 0.0, 1e-7, 0.03), look_at=look_at)


@check_precisions("optimiser")
def zero_gradients_move_nothing(subject: Subject, precision: str) -> None:
    """All gradients zero: the norm is 0, nothing is divided by it, and the weights stay."""
    _follow(subject, precision, OptimizerConfig(), [_zeros()], look_at="optimizer.py: a norm of 0")


@check_precisions("optimiser")
def moments_move_on_without_gradients(subject: Subject, precision: str) -> None:
    """A gradient of zero, of some columns and then of all: the moments decay, and the weights move by them."""
    moments = Moments(gradients_of(_MODEL, 200, 0.1), _squares(gradients_of(_MODEL, 230, 0.2)))
    some = gradients_of(_MODEL, 1, 1.0)
    some["lstm.0.weight_ih"][:, ::2] = 0.0  # symbols that a batch does not have
    look_at = f"{_ADAM}, of every element, whatever its gradient is"
    _follow(subject, precision, _LOOSE, [some, _zeros()], moments=moments, first_step=7, look_at=look_at)


@check_precisions("optimiser")
def order_in_memory_means_nothing(subject: Subject, precision: str) -> None:
    """Weights, moments and gradients that were given as transposed arrays are updated like all others."""
    means, squares = gradients_of(_MODEL, 200, 0.1), _squares(gradients_of(_MODEL, 230, 0.2))
    _follow(
        subject,
        precision,
        _LOOSE,
        [_transposed(gradients_of(_MODEL, 1, 1.0))],
        moments=Moments(_transposed(means), _transposed(squares)),
        first_step=7,
        look_at="backend.py: tensor() of an array whose columns lie side by side; optimizer.py: views of its memory",
    )


def _transposed(arrays: Arrays) -> Arrays:
    """The same numbers, the columns of each array side by side in memory."""
    return {name: np.asfortranarray(array) for name, array in arrays.items()}


@check_precisions("optimiser")
def returned_weights_are_a_new_dictionary(subject: Subject, precision: str) -> None:
    """The dictionary of weights that an update returns is a new object with the same names."""
    updater = Updater(subject.backend(precision), _LOOSE, gradients_of(_MODEL, 1, 1.0))
    before = updater.weights
    updater.update(gradients_of(_MODEL, 30, 1.0), 0.001, 1)
    require(
        updater.weights is not before and updater.weights.keys() == before.keys(),
        expected=f"a new dictionary with the names {', '.join(before)}",
        got="the same object" if updater.weights is before else ", ".join(updater.weights),
        look_at="optimizer.py: return dict(weights), also where the tensors were updated in place",
    )


@check_precisions("optimiser")
def copies_survive_the_update(subject: Subject, precision: str) -> None:
    """Weights and moments that were copied out before an update don't change with it."""
    updater = Updater(subject.backend(precision), _LOOSE, gradients_of(_MODEL, 1, 1.0))
    updater.update(gradients_of(_MODEL, 30, 1.0), 0.001, 1)
    held = updater.observed()
    kept = {name: array.copy() for name, array in held.items()}
    updater.update(gradients_of(_MODEL, 60, 1.0), 0.001, 2)
    look_at = "backend.py: numpy() returns a copy, not a view of a tensor that the next update changes"
    same_bits(held, kept, expected="arrays that stay as they came out", look_at=look_at)
