"""Is one training step right? Each of its arrays against the float64 oracle of the conformance kit.

A step is judged by itself, from the arrays that it started from, so what came before does not matter. The bounds are
the kit's, as shares of an array's largest element. Where the terms of a gradient cancel, its bound is a share of what
they would add up to without their signs, since rounding is relative to the terms. Where recurrence amplifies rounding,
the bound of a sequence is a multiple of what rounding does to it. The parts are judged in the order of the computation,
each from the arrays that the backend itself put into it: the optimizer's moments from its own gradients, its weights
from its own moments. So an error is found where it is made, and rounding is not amplified on the way. Arrays of other
shapes are an error before any number is compared, since NumPy would repeat what has fewer elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest

import numpy as np

from charkit.testing.diagnosis import diagnose
from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import BOUNDS, Compute, difference
from charkit_comparison.agreement.recorded_step import StepResults
from charkit_comparison.agreement.rounding_response import (
    SEQUENCE_AXES,
    gradient_limits,
    worst_sequence,
)
from charkit_comparison.agreement.step_parts import GradientsOf, Part, Suspect, parts_of_step
from charkit_comparison.agreement.step_reference import (
    Arrays,
    StepReference,
    named_forward,
    named_gradients,
    named_moments,
)

#: Gives a later step of the same backend, on which what is named must show as well.
LaterStep = Callable[[], tuple[StepReference, StepResults]]


@dataclass(frozen=True)
class StepError:
    """The first array of a step that is not the oracle's."""

    step: int
    array: str
    expected: str
    got: str
    look_at: str


@dataclass(frozen=True)
class StepVerdict:
    """How near a step is to the oracle's: its largest difference as a share of the bound, and the error beyond it."""

    step: int
    share_of_bound: float
    error: StepError | None


def judge_step(
    reference: StepReference,
    results: StepResults,
    precision: str,
    gradients_of: GradientsOf | None = None,
    later_step: LaterStep | None = None,
) -> StepVerdict:
    """Compares a backend's step with the oracle's.

    ``gradients_of`` helps to name a mistake in the gradients, ``later_step`` one in the update: with moments of zero,
    as before the first step, many mistakes give the same numbers.
    """
    misshapen = _misshapen(reference, results)
    if misshapen is not None:
        return StepVerdict(reference.recorded.step, float("inf"), misshapen)
    share = 0.0
    for part in parts_of_step(reference, results, precision):
        gaps, limits = _gaps_and_limits(reference, part, precision)
        share = max(share, *(gaps[name] / limits[name] for name in gaps))
        if not share <= 1.0:
            named = _named(reference, part, precision, gradients_of, later_step)
            error = _error(reference, gaps, limits, precision, named)
            return StepVerdict(reference.recorded.step, share, error)
    return StepVerdict(reference.recorded.step, share, None)


def _misshapen(reference: StepReference, results: StepResults) -> StepError | None:
    """The first array that the backend did not return, or returned in another shape."""
    moments = reference.recorded.before.moments
    pairs: list[tuple[Arrays, Arrays]] = [
        ({"the logits": results.logits}, reference.logits),
        (named_forward(results.nats, results.after.state), reference.forward),
        (named_gradients(results.gradients), named_gradients(reference.weights)),
        (named_moments(results.norm, results.after.moments), named_moments(0.0, moments)),
        (results.after.weights, reference.weights),
    ]
    for observed, expected in pairs:
        name = _first_misshapen(observed, expected)
        if name is not None:
            got = f"the shape {list(np.shape(observed[name]))}" if name in observed else "no array"
            wanted = f"the shape {list(np.shape(expected[name]))}"
            return StepError(reference.recorded.step, name, wanted, got, "")
    return None


def _first_misshapen(observed: Arrays, expected: Arrays) -> str | None:
    for name, array in expected.items():
        if name not in observed or np.shape(observed[name]) != np.shape(array):
            return name
    return None


def _gaps_and_limits(
    reference: StepReference, part: Part, precision: str
) -> tuple[dict[str, float], dict[str, float]]:
    """How far each array of the part is off, and how far it may be, as shares of its largest element.

    Where the plain bound is exceeded, the limit is wider for arrays whose terms cancel, and then for those in which
    recurrence amplifies rounding: sequence by sequence in the results of a forward pass.
    """
    gaps = {name: difference(part.observed[name], expected) for name, expected in part.expected.items()}
    limits = dict.fromkeys(gaps, BOUNDS[precision][part.kind])

    def beyond() -> list[str]:
        return [name for name in gaps if gaps[name] > limits[name]]

    if beyond():
        limits = {name: limit * reference.cancellation.get(name, 1.0) for name, limit in limits.items()}
    if not all(map(math.isfinite, gaps.values())):
        return gaps, limits
    for name in beyond():
        if name in SEQUENCE_AXES:
            gaps[name], limits[name] = worst_sequence(
                reference, name, part.observed[name], limits[name], precision
            )
    if part.kind == "gradients" and beyond():
        limits = gradient_limits(reference, gaps, limits, precision)
    return gaps, limits


def _error(
    reference: StepReference,
    gaps: Mapping[str, float],
    limits: Mapping[str, float],
    precision: str,
    named: str,
) -> StepError:
    name = next(name for name, gap in gaps.items() if gap > limits[name])
    return StepError(
        reference.recorded.step,
        name,
        f"the float64 reference's values, to within {limits[name]:.0e} times the largest element ({precision})",
        f"off by {gaps[name]:.1e} times the largest element",
        named,
    )


def _named(
    reference: StepReference,
    part: Part,
    precision: str,
    gradients_of: GradientsOf | None,
    later_step: LaterStep | None,
) -> str:
    """The known mistake that explains the observed arrays, or nothing."""
    proofs: list[Suspect | None] = []
    if part.of_other_step is not None and later_step is not None:
        proofs = [*part.of_other_step(*later_step(), precision).suspects(None)]
    elif part.of_other_step is not None and not _has_moments(reference):
        return ""
    for suspect, proof in zip_longest(part.suspects(gradients_of), proofs):
        right = suspect.compute(Oracle)
        if _first_misshapen(suspect.observed, right) is not None:  # of other sequences than those of the step
            continue
        off = {key: difference(suspect.observed[key], right[key]) for key in right}
        if max(off.values(), default=0.0) <= suspect.limit:
            continue
        named = diagnose(
            suspect.observed,
            suspect.compute,
            off,
            precision=precision,
            limit=max(suspect.limit, proof.limit if proof else 0.0),
            proof=None if proof is None else partial(_of_proof, proof),
        )
        if named:
            return named
    return ""


def _of_proof(suspect: Suspect) -> tuple[Arrays, Compute]:
    return suspect.observed, suspect.compute


def _has_moments(reference: StepReference) -> bool:
    return any(array.any() for array in reference.recorded.before.moments.exp_avg_sq.values())
