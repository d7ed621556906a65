"""How far rounding moves the results of a step: the condition of a recurrent computation.

Recurrence can amplify rounding from one time step to the next. In a network that is learning, it does so a hundredfold
in single sequences of single batches. A correct backend's error then is the condition of the computation times the
rounding of each operation. Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2nd ed., 2002),
section 1.6. The condition is measured with the float64 oracle: its weights, which act at every time step, are
changed to the next floating-point number. docs/decisions/0016 has the measurements behind the constants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from charkit.testing.tolerances import difference
from charkit_comparison.agreement.rounding_control import perturbed_weights
from charkit_comparison.agreement.step_reference import StepReference

#: The axis of the sequences in the arrays that a forward pass returns.
SEQUENCE_AXES = {"the loss": 0, "the hidden state": 1, "the cell state": 1}
#: So many perturbations are averaged, since a single one may leave the direction that recurrence amplifies.
PERTURBATIONS = 8
#: An array may be off by so many times its response. Correct backends reach 5 times.
RESPONSE_FACTOR = 10.0
#: No limit is raised beyond this share of the largest element, so that a gradient of zeros is never right.
CEILING = 1e-2
#: A difference so many times beyond its limit after a few perturbations is not rounding, whatever others would show.
HOPELESS_FACTOR, FEWEST_PERTURBATIONS = 30.0, 3

Floats = NDArray[np.float64]


def worst_sequence(
    reference: StepReference, name: str, observed: ArrayLike, limit: float, precision: str
) -> tuple[float, float]:
    """The difference and the limit of the sequence that is nearest to its limit or furthest beyond it.

    Both are shares of the array's largest element. The limit of a sequence is ``limit``, or higher if it responds more
    to rounding; that of a loss, up to its time step. Raises KeyError for an array that no forward pass returns.
    """
    expected = np.asarray(reference.forward[name], np.float64)
    scale = float(np.abs(expected).max(initial=0.0)) or 1.0
    differences = _by_sequence(name, np.asarray(observed, np.float64) - expected) / scale
    limits = np.full_like(differences, limit)
    largest = int(differences.max(axis=1).argmax())
    others = [each for each in np.flatnonzero((differences > limit).any(axis=1)).tolist() if each != largest]
    for chosen in filter(None, ([largest], others)):
        responses = _responses(reference.sequences(chosen), name, precision) / scale
        limits[chosen] = _raised(limit, responses)
        if (differences[largest] > limits[largest]).any():
            differences, limits = differences[[largest]], limits[[largest]]
            break  # the other sequences of a wrong backend would take long
    worst = (differences / limits).argmax()
    return float(differences.flat[worst]), float(limits.flat[worst])


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
            raised[name] = float(_raised(limits[name], np.sqrt(squares[name] / number)))
        is_hopeless = any(gaps[name] > HOPELESS_FACTOR * raised[name] for name in gaps)
        if is_hopeless and number >= FEWEST_PERTURBATIONS:
            break  # a wrong backend: each perturbation takes as long as the reference itself
    return raised


def _raised(limit: float, responses: ArrayLike) -> Floats:
    """The limits where the responses are these; one that is not finite raises nothing."""
    finite = np.where(np.isfinite(responses), responses, 0.0)
    return np.asarray(np.maximum(limit, np.minimum(CEILING, RESPONSE_FACTOR * finite)))


def _responses(reference: StepReference, name: str, precision: str) -> Floats:
    """How far each sequence moves if the weights are perturbed, as a root mean square, in the form of _by_sequence.

    What a loss responds to at a time step, it may respond to at all later ones.
    """
    expected = np.asarray(reference.forward[name], np.float64)
    moved = (_perturbed(reference, precision, number).forward[name] for number in range(1, PERTURBATIONS + 1))
    squares = [np.square(_by_sequence(name, np.asarray(array) - expected)) for array in moved]
    return np.asarray(np.maximum.accumulate(np.sqrt(np.mean(squares, axis=0)), axis=1))


def _perturbed(reference: StepReference, precision: str, number: int) -> StepReference:
    """The same step from weights that are changed to the next floating-point number."""
    recorded, seed = reference.recorded, reference.config.training.seed
    weights = perturbed_weights(recorded.before.weights, precision, seed, number, recorded.step)
    return StepReference(
        replace(recorded, before=replace(recorded.before, weights=weights)), reference.config
    )


def _by_sequence(name: str, off: Floats) -> Floats:
    """How far each sequence is off: ``(sequence, time)`` for the loss, ``(sequence, 1)`` for a state."""
    largest = np.moveaxis(np.abs(off), SEQUENCE_AXES[name], 0)
    return largest if name == "the loss" else largest.reshape(len(largest), -1).max(axis=1, keepdims=True)
