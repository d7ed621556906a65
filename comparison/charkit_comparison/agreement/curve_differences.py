"""How far apart two loss curves are, and whether they agree: every pair of one precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array
from charkit.testing.tolerances import difference
from charkit_comparison.agreement.rounding_control import BAND_FACTOR, excess
from charkit_comparison.report_parts import Outcome, Pair

Floats = NDArray[np.float64]


def loss_differences(first: Outcome, second: Outcome) -> Floats:
    """The differences of two backends' losses, in nats, step by step.

    The last is infinite where the loss of one stopped being finite at a step that the other has made.
    """
    steps = min(len(first.losses), len(second.losses))
    with np.errstate(over="ignore"):  # a loss that explodes can be anything that is finite
        gaps = np.abs(np.subtract(first.losses[:steps], second.losses[:steps], dtype=np.float64))
    shorter, longer = sorted((first, second), key=lambda one: len(one.losses))
    if shorter.not_finite_at is not None and len(longer.losses) > steps:
        gaps = np.append(gaps, np.inf)
    return np.asarray(gaps, np.float64)


def most_central(outcomes: Sequence[Outcome]) -> Outcome:
    """The one that the others are compared with: the smallest median of its largest differences, or the first."""

    def distance(one: Outcome) -> float:
        gaps = [
            float(np.nan_to_num(loss_differences(one, other), nan=np.inf, posinf=np.inf).max(initial=0.0))
            for other in outcomes
            if other is not one
        ]
        return float(np.median(gaps)) if gaps else 0.0

    return min(outcomes, key=distance)


def first_exceeding(values: Sequence[float] | NDArray[Any], limit: float) -> int | None:
    """The index, counted from 0, of the first value that is not within the limit."""
    beyond = np.flatnonzero(~(np.asarray(values, np.float64) <= limit))
    return int(beyond[0]) if len(beyond) else None


def first_outside_band(first: Outcome, second: Outcome, band: Floats | None) -> int | None:
    """The index of the first step at which two curves differ by more than rounding explains."""
    return (
        None if band is None else first_exceeding(excess(loss_differences(first, second), band), BAND_FACTOR)
    )


@dataclass(frozen=True)
class PairContext:
    """What is known besides the outcomes when pairs are judged."""

    weights: Mapping[str, Mapping[str, Array]]  # at the end, by label
    bands: Mapping[str, Floats]  # what rounding alone does at each step, by precision
    wrong: Collection[str]  # labels of those that have a wrong step, or could not be examined
    explained: Collection[frozenset[str]]  # pairs outside the band whose every examined step there is right
    bound: float | None
    first_step: int


def compare_pairs(outcomes: Sequence[Outcome], context: PairContext) -> tuple[Pair, ...]:
    """Every pair of backends of one precision that both have made steps."""
    trained = [one for one in outcomes if one.losses and one.kind == "backend"]
    return tuple(
        _compare(first, second, context)
        for first, second in combinations(trained, 2)
        if first.precision == second.precision
    )


def _compare(first: Outcome, second: Outcome, context: PairContext) -> Pair:
    steps = min(len(first.losses), len(second.losses))
    differences, band = loss_differences(first, second), context.bands.get(first.precision)
    norms = np.array([first.gradient_norms[:steps], second.gradient_norms[:steps]])
    norm_differences = np.abs(norms[0] - norms[1]) / np.maximum(norms.max(axis=0), 1e-30)
    equal = None
    if first.sample and second.sample and first.sample_step == second.sample_step:
        equal = common_prefix_length(first.sample, second.sample)
    outside = first_outside_band(first, second, band)
    return Pair(
        first=first.label,
        second=second.label,
        steps=steps,
        largest_loss_difference=float(differences[:steps].max()),
        mean_loss_difference=float(differences[:steps].mean()),
        largest_norm_difference=float(norm_differences.max()),
        weights_difference=_weights_difference(first.label, second.label, context.weights),
        equal_characters=equal,
        times_the_control=None if band is None else float(excess(differences, band).max(initial=0.0)),
        left_band_at=None if outside is None else context.first_step + outside,
        agrees=_agrees(first, second, differences, outside, context) if first.decides else None,
    )


def _agrees(
    first: Outcome, second: Outcome, differences: Floats, outside: int | None, context: PairContext
) -> bool:
    """Whether both are right, rounding explains their difference, and it is within the user's bound."""
    labels = {first.label, second.label}
    is_rounding = outside is None or labels in context.explained
    is_within_bound = context.bound is None or first_exceeding(differences, context.bound) is None
    return not labels & set(context.wrong) and is_rounding and is_within_bound


def _weights_difference(first: str, second: str, weights: Mapping[str, Mapping[str, Array]]) -> float | None:
    if first not in weights or second not in weights:
        return None
    return max(difference(weights[second][name], array) for name, array in weights[first].items())


def common_prefix_length(first: str, second: str) -> int:
    """How many characters two texts have in common from their beginning."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return count
    return min(len(first), len(second))
