"""What rounding alone does to a training run: the reference again, its weights perturbed by one rounding unit.

Training amplifies rounding, by orders of magnitude where a curve leaves its plateau, so no fixed bound on two
curves can tell amplified rounding from a mistake. The control can: whatever separates it from the reference is
amplified rounding, in this run. Rounding happens at every step, so the weights are perturbed before the first step
and again every few steps. How far one control departs depends on the directions of its perturbations, and another
backend may round more than the reference. So before rounding is ruled out as the cause of a difference, single steps
are examined, and then further controls are trained.
docs/decisions/0016 has the measurements behind the constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array, float_dtype
from charkit.randomness import Purpose, uniform

#: The rounding unit of a precision: the largest relative error of one correctly rounded operation.
ROUNDING_UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
#: After so many steps the control's weights are perturbed again. Each time costs a copy of the weights out and in.
PERTURBED_EVERY = 10
#: A pair whose difference is more than this many times the control's has left the band, and is examined there.
BAND_FACTOR = 20.0
#: Up to this many times, right steps where the two part are enough: a backend may round more than the control does.
MAX_ROUNDING_FACTOR = 50.0
#: The band is never narrower than this many rounding units of the loss.
BAND_FLOOR_UNITS = 4.0
#: A loss that is so many nats above that of guessing, ``log(vocabulary_size)``, shows that training has diverged. With
#: weights that large, rounding decides the results.
DIVERGED_NATS = 1.0
#: So many controls are trained, at most, before a difference counts as more than rounding.
MAX_CONTROLS = 5

Floats = NDArray[np.float64]


def perturbed_weights(
    weights: Mapping[str, Array], precision: str, seed: int, number: int, step: int = 0
) -> dict[str, Array]:
    """The weights rounded to the precision, each then changed up or down to the next floating-point number.

    The directions come from the core's own random stream; each control, counted from 1, has others at each step. A
    weight that is zero stays zero.
    """
    dtype = float_dtype(precision)
    perturbed = {}
    for index, (name, array) in enumerate(sorted(weights.items())):
        rounded = array.astype(dtype)
        draws = uniform(seed, Purpose.CONTROL, number, step, index, size=array.size).reshape(array.shape)
        towards = np.where(draws < 0.5, -np.inf, np.inf).astype(dtype)
        perturbed[name] = np.where(rounded == 0, rounded, np.nextafter(rounded, towards))
    return perturbed


def has_diverged(losses: Sequence[float] | Floats, vocabulary_size: int) -> NDArray[np.bool_]:
    """Whether each loss is so far above that of guessing that its step can't be judged; ``(step,)``."""
    return np.asarray(~(np.asarray(losses, np.float64) <= np.log(vocabulary_size) + DIVERGED_NATS))


def band(
    reference: Sequence[float], control: Sequence[float], precision: str, vocabulary_size: int
) -> Floats:
    """By how many nats rounding alone may have changed the loss of each step, in this run; float64 ``(step,)``.

    The largest difference of the control so far: curves cross each other, so the difference of one step says
    little. At least a few rounding units of the loss, which is all that a difference can be at the beginning, and of 1
    nat, since a small loss is a difference of larger terms. Infinite where training has diverged.
    """
    steps = min(len(reference), len(control))
    losses = np.asarray(reference[:steps], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        differences = np.abs(losses - np.asarray(control[:steps], np.float64))
    differences = np.where(np.isfinite(differences), differences, np.inf)
    floor = BAND_FLOOR_UNITS * ROUNDING_UNITS[precision] * np.maximum(np.maximum.accumulate(losses), 1.0)
    within = np.maximum(np.maximum.accumulate(differences), floor)
    return np.where(has_diverged(losses, vocabulary_size), np.inf, within)


def excess(differences: Sequence[float] | Floats, within: Floats) -> Floats:
    """How many times as far apart two losses are as rounding alone puts them, step by step.

    Nothing is too far where the control itself is no longer finite.
    """
    steps = min(len(differences), len(within))
    gaps = np.nan_to_num(np.asarray(differences[:steps], np.float64), nan=np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.where(np.isinf(within[:steps]), 0.0, gaps / within[:steps])
