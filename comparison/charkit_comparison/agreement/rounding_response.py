"""How far rounding moves the results of a step: the condition of a recurrent computation.

Recurrence can amplify rounding from one time step to the next. In a network that is learning, it does so a hundredfold
in single sequences of single batches. A correct backend's error then is the condition of the computation times the
rounding of each operation. Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2nd ed., 2002),
section 1.6. The condition is measured with the float64 oracle: its weights, which act at every time step, are
perturbed by one rounding unit. docs/decisions/0016 has the measurements behind the constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import difference
from charkit_comparison.agreement.rounding_control import perturbed_weights
from charkit_comparison.agreement.step_reference import StepReference, named_forward

#: The axis of the sequences in the arrays that a forward pass returns.
SEQUENCE_AXES = {"the loss": 0, "the hidden state": 1, "the cell state": 1}
#: So many perturbations are averaged, since a single one may leave the direction that recurrence amplifies.
PERTURBATIONS = 8
#: An array may be off by so many times its response to one rounding unit. Correct backends reach 5 times.
RESPONSE_FACTOR = 10.0
#: A difference so many times beyond that is not rounding, whatever further perturbations would show.
HOPELESS_FACTOR = 30.0

Floats = NDArray[np.float64]


def worst_sequence(
    reference: StepReference, name: str, observed: ArrayLike, limit: float, precision: str
) -> tuple[float, float]:
    """The difference and the limit of the sequence that is nearest to its limit or furthest beyond it.

    Both are shares of the array's largest element. The limit of a sequence is ``limit``, or higher if it responds more
    to rounding. Raises KeyError for an array that no forward pass returns.
    """
    expected = np.asarray(reference.forward[name], np.float64)
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    differences = _furthest(name, observed, expected) / scale
    limits = np.full_like(differences, limit)
    largest = [int(differences.argmax())]
    for chosen in (largest, np.flatnonzero(differences > limit).tolist()):
        responses = _responses(reference.sequences(chosen), name, precision) / scale
        limits[chosen] = np.maximum(limit, RESPONSE_FACTOR * responses)
        if differences[largest] > limits[largest]:
            break  # the other sequences of a wrong backend would take long
    worst = (differences / limits).argmax()
    return float(differences[worst]), float(limits[worst])


def gradient_limits(
    reference: StepReference, gaps: Mapping[str, float], limits: Mapping[str, float], precision: str
) -> dict[str, float]:
    """The limits of the gradients, higher for those that respond more to rounding, as shares of their largest elements.

    ``gaps`` are the differences of the gradients, by the names of ``reference.gradients``.
    """
    squares = dict.fromkeys(gaps, 0.0)
    raised = dict(limits)
    for number in range(1, PERTURBATIONS + 1):
        moved = _perturbed(reference, precision, number)
        for name, expected in reference.gradients.items():
            squares[name] += difference(moved.gradients[name], expected) ** 2
            response = float(np.sqrt(squares[name] / number))
            raised[name] = max(limits[name], RESPONSE_FACTOR * response)
        if any(gaps[name] > HOPELESS_FACTOR * raised[name] for name in gaps):
            break  # a wrong backend: each perturbation takes as long as the reference itself
    return raised


def _responses(reference: StepReference, name: str, precision: str) -> Floats:
    """How far each sequence moves if the weights are perturbed, as a root mean square: ``(sequence,)``."""
    model, expected = Oracle(reference.config.model), np.asarray(reference.forward[name], np.float64)
    squares = []
    for number in range(1, PERTURBATIONS + 1):
        moved = _perturbed(reference, precision, number)
        forward = named_forward(*model.nats(moved.weights, *moved.batch))
        squares.append(np.square(_furthest(name, forward[name], expected)))
    return np.asarray(np.sqrt(np.mean(squares, axis=0)))


def _perturbed(reference: StepReference, precision: str, number: int) -> StepReference:
    """The same step from weights that are perturbed by one rounding unit."""
    recorded, seed = reference.recorded, reference.config.training.seed
    weights = perturbed_weights(recorded.before.weights, precision, seed, number, recorded.step)
    return StepReference(
        replace(recorded, before=replace(recorded.before, weights=weights)), reference.config
    )


def _furthest(name: str, observed: ArrayLike, expected: Floats) -> Floats:
    """The largest difference of each sequence, infinite if one is not finite: ``(sequence,)``."""
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(observed, np.float64) - expected)
    by_sequence = np.moveaxis(off, SEQUENCE_AXES[name], 0).reshape(off.shape[SEQUENCE_AXES[name]], -1)
    largest = by_sequence.max(axis=1, initial=0.0)
    return np.where(np.isnan(largest), np.inf, largest)
