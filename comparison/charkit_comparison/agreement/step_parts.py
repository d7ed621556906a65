"""The parts of a training step, in the order of the computation, each from the backend's own inputs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from charkit.backend import Array, State, float_dtype
from charkit.testing.oracle import Oracle
from charkit.testing.tolerances import BOUNDS, Compute, Kind
from charkit_comparison.agreement.recorded_step import StepResults
from charkit_comparison.agreement.step_reference import (
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

#: Sequences on which a known mistake is looked for: each of some hundred mistakes is computed on them.
DIAGNOSED_SEQUENCES = 2

#: Gives the gradients of some sequences of the step alone, as the judged backend computes them.
GradientsOf = Callable[[Sequence[int]], Arrays]


class Suspect(NamedTuple):
    """Observed arrays in which a known mistake is looked for, what computes them, and how near they must be."""

    observed: Arrays
    compute: Compute
    limit: float


@dataclass(frozen=True)
class Part:
    """Some arrays of a step: the backend's, the oracle's, and where to look for known mistakes."""

    observed: Arrays
    expected: Arrays
    kind: Kind
    suspects: Callable[[GradientsOf | None], Iterator[Suspect]]
    #: The same part of another step, where a mistake must show in two steps to be named.
    of_other_step: Callable[[StepReference, StepResults, str], Part] | None = None


def parts_of_step(reference: StepReference, results: StepResults, precision: str) -> Iterator[Part]:
    """Every part of the step, in order."""
    yield _logits_part(reference, results, precision)
    yield _forward_part(reference, results, precision)
    yield _gradients_part(reference, results, precision)
    yield _moments_part(reference, results, precision)
    yield _weights_part(reference, results, precision)


def _logits_part(reference: StepReference, results: StepResults, precision: str) -> Part:
    limit = BOUNDS[precision]["forward"]
    observed = {"the logits": results.logits}
    wrong = _wrong_rows(results.logits, reference.logits["the logits"], limit)
    few = reference.sequences(wrong)

    def suspects(_: GradientsOf | None) -> Iterator[Suspect]:
        yield Suspect({"the logits": results.logits[wrong]}, lambda oracle: logits_of(oracle, few), limit)

    return Part(observed, reference.logits, "forward", suspects)


def _forward_part(reference: StepReference, results: StepResults, precision: str) -> Part:
    limit = BOUNDS[precision]["forward"]
    state = results.after.state
    observed = named_forward(results.nats, state)

    def suspects(_: GradientsOf | None) -> Iterator[Suspect]:
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
        yield Suspect(observed, lambda oracle: forward_of(oracle, few), limit)

    return Part(observed, reference.forward, "forward", suspects)


def _gradients_part(reference: StepReference, results: StepResults, precision: str) -> Part:
    limit = BOUNDS[precision]["gradients"]

    def suspects(gradients_of: GradientsOf | None) -> Iterator[Suspect]:
        if gradients_of is None:
            return
        count = len(reference.recorded.inputs)
        chosen = list(range(min(DIAGNOSED_SEQUENCES, count)))
        few = reference.sequences(chosen)
        observed = named_gradients(gradients_of(chosen))
        yield Suspect(observed, lambda oracle: gradients_of_oracle(oracle, few), limit)

    return Part(named_gradients(results.gradients), reference.gradients, "gradients", suspects)


def _moments_part(reference: StepReference, results: StepResults, precision: str) -> Part:
    """The gradient norm and Adam's moments, from the backend's own gradients."""
    limit = BOUNDS[precision]["update"]
    updated = _update_of(reference, results)

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        return {name: array for name, array in updated(oracle).items() if name in observed}

    observed = named_moments(results.norm, results.after.moments)
    changed = named_change(reference.weights, exact(results.after.weights))

    def suspects(_: GradientsOf | None) -> Iterator[Suspect]:
        rounding = _rounding_of_weights(reference, results, precision)
        yield Suspect({**observed, **changed}, updated, limit + rounding)
        yield Suspect(observed, compute, limit)

    return Part(observed, compute(Oracle), "update", suspects, _moments_part)


def _update_of(reference: StepReference, results: StepResults) -> Compute:
    """The gradient norm, the moments and the changes of the weights by an oracle, from the backend's own gradients."""
    recorded = reference.recorded
    gradients, moments = exact(results.gradients), exact_moments(recorded.before.moments)

    def updated(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(reference.config.model, reference.config.optimizer)
        weights, moved, norm = judge.update(
            reference.weights, moments, gradients, recorded.learning_rate, recorded.step
        )
        return {**named_moments(norm, moved), **named_change(reference.weights, weights)}

    return updated


def _weights_part(reference: StepReference, results: StepResults, precision: str) -> Part:
    """The change of the weights, from the backend's own moments.

    What is judged is the change, since a small change of large weights would hide a large error of it. A stored
    weight is rounded, so each element may be off by the spacing of its floating-point numbers.
    """
    recorded, dtype = reference.recorded, float_dtype(precision)
    moments, rate = exact_moments(results.after.moments), recorded.learning_rate

    def compute(oracle: type[Oracle]) -> dict[str, ArrayLike]:
        judge = oracle(reference.config.model, reference.config.optimizer)
        return {
            f"the change in {name}": -judge.decay(name, weight, rate)
            - judge.change(moments.exp_avg[name], moments.exp_avg_sq[name], rate, recorded.step)
            for name, weight in reference.weights.items()
        }

    expected = compute(Oracle)
    changed = named_change(reference.weights, exact(results.after.weights))
    observed = {}
    for name, weight in results.after.weights.items():
        key = f"the change in {name}"
        wanted = np.asarray(expected[key], np.float64)
        off = np.asarray(changed[key], np.float64) - wanted
        spacing = np.spacing(np.abs(weight).astype(dtype)).astype(np.float64)
        observed[key] = wanted + np.sign(off) * np.maximum(np.abs(off) - spacing, 0.0)
    limit = BOUNDS[precision]["update"] + _rounding_of_weights(reference, results, precision)

    def suspects(_: GradientsOf | None) -> Iterator[Suspect]:
        moved, updated = named_moments(results.norm, results.after.moments), _update_of(reference, results)

        def with_moments(oracle: type[Oracle]) -> dict[str, ArrayLike]:
            return {
                **{name: array for name, array in updated(oracle).items() if name in moved},
                **compute(oracle),
            }

        # The moments are right: a mistake that would have changed them too is not the one.
        yield Suspect({**moved, **changed}, with_moments, limit)

    return Part(observed, expected, "update", suspects, _weights_part)


def _rounding_of_weights(reference: StepReference, results: StepResults, precision: str) -> float:
    """The largest spacing of an array's weights, as a share of that array's largest change."""
    dtype = float_dtype(precision)
    shares = [0.0]
    for name, weight in results.after.weights.items():
        change = np.abs(weight.astype(np.float64) - reference.weights[name]).max(initial=0.0)
        spacing = float(np.spacing(np.abs(weight).max(initial=0.0).astype(dtype)))
        shares.append(spacing / change if change > 0 else 0.0)
    return max(shares)


def _wrong_rows(observed: Array, expected: ArrayLike, limit: float) -> list[int]:
    """The first sequences, along axis 0, that are further from the oracle's than the limit."""
    wanted = np.asarray(expected, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(observed, np.float64) - wanted).reshape(len(wanted), -1).max(axis=1)
    beyond = ~(off <= limit * (np.abs(wanted).max(initial=0.0) or 1.0))
    return [int(row) for row in np.flatnonzero(beyond)[:DIAGNOSED_SEQUENCES]]
