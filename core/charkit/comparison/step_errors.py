"""Is one training step right? Each of its arrays against the float64 oracle of the conformance kit.

A step is judged by itself, from the arrays that it started from, so what came before does not matter. The
bounds are the kit's, as shares of an array's largest element. Where the terms of a gradient cancel, its bound is a
share of what they would add up to without their signs, since rounding is relative to the terms. The parts are
judged in the order of the computation, each from the arrays that the backend itself put into it: the optimizer's
moments from its own gradients, its weights from its own moments. So an error is found where it is made, and
rounding is not amplified on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State, float_dtype
from charkit.comparison.step_reference import (
    Arrays,
    StepReference,
    exact,
    exact_moments,
    forward_of,
    gradients_of_oracle,
    logits_of,
    named_change,
    named_forward,
    named_gradients,
    named_moments,
)
from charkit.comparison.steps import StepResults
from charkit.testing.diagnosis import diagnose
from charkit.testing.judge import BOUNDS, Compute, Kind, difference
from charkit.testing.oracle import Oracle

#: Sequences on which a known mistake is looked for: each of some hundred mistakes is computed on them.
DIAGNOSED_SEQUENCES = 2

#: Gives the gradients of some sequences of the step alone, as the judged backend computes them.
GradientsOf = Callable[[Sequence[int]], Arrays]


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
    reference: StepReference, results: StepResults, precision: str, gradients_of: GradientsOf | None = None
) -> StepVerdict:
    """Holds a backend's step against the oracle's. ``gradients_of`` helps to name a mistake in the gradients."""
    share = 0.0
    for part in _parts(reference, results, precision):
        gaps = {name: difference(part.came[name], expected) for name, expected in part.expected.items()}
        limits = dict.fromkeys(gaps, BOUNDS[precision][part.kind])
        if any(gaps[name] > limits[name] for name in gaps):
            limits = _allowed(reference, limits)
        share = max(share, *(gaps[name] / limits[name] for name in gaps))
        if share > 1.0:
            error = _error(reference, part, gaps, limits, precision, gradients_of)
            return StepVerdict(reference.recorded.step, share, error)
    return StepVerdict(reference.recorded.step, share, None)


def _allowed(reference: StepReference, limits: Mapping[str, float]) -> dict[str, float]:
    """The limits, wider for gradients whose terms cancel."""
    return {name: limit * reference.cancellation.get(name, 1.0) for name, limit in limits.items()}


# ---- the parts of a step, in the order of the computation ------------------------------------------------


@dataclass(frozen=True)
class _Part:
    came: Arrays
    expected: Arrays
    kind: Kind
    suspects: Callable[[GradientsOf | None], Iterator[tuple[Arrays, Compute, float]]]


def _parts(reference: StepReference, results: StepResults, precision: str) -> Iterator[_Part]:
    yield _logits_part(reference, results, precision)
    yield _forward_part(reference, results, precision)
    yield _gradients_part(reference, results, precision)
    yield _moments_part(reference, results, precision)
    yield _weights_part(reference, results, precision)


def _logits_part(reference: StepReference, results: StepResults, precision: str) -> _Part:
    limit = BOUNDS[precision]["forward"]
    came = {"the logits": results.logits}
    wrong = _wrong_rows(results.logits, reference.logits["the logits"], limit)
    few = reference.sequences(wrong)

    def suspects(_: GradientsOf | None) -> Iterator[tuple[Arrays, Compute, float]]:
        yield {"the logits": results.logits[wrong]}, lambda oracle: logits_of(oracle, few), limit

    return _Part(came, reference.logits, "forward", suspects)


def _forward_part(reference: StepReference, results: StepResults, precision: str) -> _Part:
    limit = BOUNDS[precision]["forward"]
    state = results.after.state
    came = named_forward(results.nats, state)

    def suspects(_: GradientsOf | None) -> Iterator[tuple[Arrays, Compute, float]]:
        rows = [results.nats, state.hidden.swapaxes(0, 1), state.cell.swapaxes(0, 1)]
        expected = [np.asarray(array) for array in reference.forward.values()]
        wanted = [expected[0], expected[1].swapaxes(0, 1), expected[2].swapaxes(0, 1)]
        wrong = next(
            (
                found
                for one, other in zip(rows, wanted, strict=True)
                if (found := _wrong_rows(one, other, limit))
            ),
            [],
        )
        few = reference.sequences(wrong)
        observed = named_forward(results.nats[wrong], State(state.hidden[:, wrong], state.cell[:, wrong]))
        yield observed, lambda oracle: forward_of(oracle, few), limit

    return _Part(came, reference.forward, "forward", suspects)


def _gradients_part(reference: StepReference, results: StepResults, precision: str) -> _Part:
    limit = BOUNDS[precision]["gradients"]

    def suspects(gradients_of: GradientsOf | None) -> Iterator[tuple[Arrays, Compute, float]]:
        if gradients_of is None:
            return
        count = len(reference.recorded.inputs)
        chosen = list(range(min(DIAGNOSED_SEQUENCES, count)))
        few = reference.sequences(chosen)
        yield named_gradients(gradients_of(chosen)), lambda oracle: gradients_of_oracle(oracle, few), limit

    return _Part(named_gradients(results.gradients), reference.gradients, "gradients", suspects)


def _moments_part(reference: StepReference, results: StepResults, precision: str) -> _Part:
    """The gradient norm and Adam's moments, from the backend's own gradients."""
    limit = BOUNDS[precision]["update"]
    before, recorded = reference.recorded.before, reference.recorded
    gradients, moments = exact(results.gradients), exact_moments(before.moments)

    def updated(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(reference.config.model, reference.config.optimizer)
        weights, moved, norm = judge.update(
            reference.weights, moments, gradients, recorded.learning_rate, recorded.step
        )
        return {**named_moments(norm, moved), **named_change(reference.weights, weights)}

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {name: array for name, array in updated(oracle).items() if name in came}

    came = named_moments(results.norm, results.after.moments)
    changed = named_change(reference.weights, exact(results.after.weights))

    def suspects(_: GradientsOf | None) -> Iterator[tuple[Arrays, Compute, float]]:
        yield {**came, **changed}, updated, limit + _rounding_of_weights(reference, results, precision)
        yield came, compute, limit

    return _Part(came, compute(Oracle), "update", suspects)


def _weights_part(reference: StepReference, results: StepResults, precision: str) -> _Part:
    """The change of the weights, from the backend's own moments.

    What is judged is the change, since a small change of large weights would hide a large error of it. A stored
    weight is rounded, so each element may be off by the spacing of its floating-point numbers.
    """
    recorded, dtype = reference.recorded, float_dtype(precision)
    moments, rate = exact_moments(results.after.moments), recorded.learning_rate

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(reference.config.model, reference.config.optimizer)
        return {
            f"the change of {name}": -judge.decay(name, weight, rate)
            - judge.change(moments.exp_avg[name], moments.exp_avg_sq[name], rate, recorded.step)
            for name, weight in reference.weights.items()
        }

    expected = compute(Oracle)
    changed = named_change(reference.weights, exact(results.after.weights))
    came = {}
    for name, weight in results.after.weights.items():
        key = f"the change of {name}"
        wanted = np.asarray(expected[key], np.float64)
        off = np.asarray(changed[key], np.float64) - wanted
        spacing = np.spacing(np.abs(weight).astype(dtype)).astype(np.float64)
        came[key] = wanted + np.sign(off) * np.maximum(np.abs(off) - spacing, 0.0)
    limit = BOUNDS[precision]["update"] + _rounding_of_weights(reference, results, precision)

    def suspects(_: GradientsOf | None) -> Iterator[tuple[Arrays, Compute, float]]:
        yield changed, compute, limit

    return _Part(came, expected, "update", suspects)


def _rounding_of_weights(reference: StepReference, results: StepResults, precision: str) -> float:
    """The largest spacing of an array's weights, as a share of that array's largest change."""
    dtype = float_dtype(precision)
    shares = [0.0]
    for name, weight in results.after.weights.items():
        change = np.abs(weight.astype(np.float64) - reference.weights[name]).max(initial=0.0)
        spacing = float(np.spacing(np.abs(weight).max(initial=0.0).astype(dtype)))
        shares.append(spacing / change if change > 0 else 0.0)
    return max(shares)


# ---- what is wrong ----------------------------------------------------------------------------------------


def _error(
    reference: StepReference,
    part: _Part,
    gaps: Mapping[str, float],
    limits: Mapping[str, float],
    precision: str,
    gradients_of: GradientsOf | None,
) -> StepError:
    name = next(name for name, gap in gaps.items() if gap > limits[name])
    named = ""
    for observed, compute, within in part.suspects(gradients_of):
        right = compute(Oracle)
        off = {key: difference(observed[key], right[key]) for key in right}
        if max(off.values(), default=0.0) > within:
            named = diagnose(observed, compute, off, precision=precision, limit=within)
        if named:
            break
    return StepError(
        reference.recorded.step,
        name,
        f"the float64 reference's, within {limits[name]:.0e} of its largest ({precision})",
        f"off by {gaps[name]:.1e} of its largest",
        named,
    )


def _wrong_rows(came: Array, expected: ArrayLike, limit: float) -> list[int]:
    """The first sequences, along axis 0, that are further from the oracle's than the limit."""
    wanted = np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(came, np.float64) - wanted).reshape(len(wanted), -1).max(axis=1)
    beyond = ~(off <= limit * (np.abs(wanted).max(initial=0.0) or 1.0))
    return [int(row) for row in np.flatnonzero(beyond)[:DIAGNOSED_SEQUENCES]]
