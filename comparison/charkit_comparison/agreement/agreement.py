"""How far apart are the curves, and do they agree? Every pair of one precision."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.backend import Array
from charkit.testing.tolerances import difference
from charkit_comparison.agreement.control import FACTOR, excess
from charkit_comparison.report import Outcome, Pair

Floats = NDArray[np.float64]


def gaps_of(first: Outcome, second: Outcome) -> Floats:
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


def nearest_to_all(outcomes: Sequence[Outcome]) -> Outcome:
    """The one that the others are held against: the smallest median of its largest differences, or the first."""

    def distance(one: Outcome) -> float:
        gaps = [
            float(np.nan_to_num(gaps_of(one, other), nan=np.inf, posinf=np.inf).max(initial=0.0))
            for other in outcomes
            if other is not one
        ]
        return float(np.median(gaps)) if gaps else 0.0

    return min(outcomes, key=distance)


def first_beyond(values: Sequence[float] | NDArray[Any], limit: float) -> int | None:
    """The index, counted from 0, of the first value that is not within the limit."""
    beyond = np.flatnonzero(~(np.asarray(values, np.float64) <= limit))
    return int(beyond[0]) if len(beyond) else None


def left_band(first: Outcome, second: Outcome, within: Floats | None) -> int | None:
    """The index of the first step at which two curves are further apart than rounding explains."""
    return None if within is None else first_beyond(excess(gaps_of(first, second), within), FACTOR)


def pairs_of(
    outcomes: Sequence[Outcome],
    weights: Mapping[str, Mapping[str, Array]],
    bands: Mapping[str, Floats],
    wrong: Collection[str],
    explained: Collection[frozenset[str]],
    bound: float | None,
    first_step: int,
) -> tuple[Pair, ...]:
    """Every pair of backends of one precision that both have made steps.

    ``weights`` are those at the end, by label; ``bands`` what rounding alone does, by precision; ``wrong`` the
    labels of those that have a wrong step or could not be examined; ``explained`` the pairs that left the band and
    agree all the same, since every step is right where they part.
    """
    able = [one for one in outcomes if one.losses and one.kind == "backend"]
    return tuple(
        _pair(first, second, weights, bands.get(first.precision), wrong, explained, bound, first_step)
        for first, second in combinations(able, 2)
        if first.precision == second.precision
    )


def _pair(
    first: Outcome,
    second: Outcome,
    weights: Mapping[str, Mapping[str, Array]],
    within: Floats | None,
    wrong: Collection[str],
    explained: Collection[frozenset[str]],
    bound: float | None,
    first_step: int,
) -> Pair:
    steps = min(len(first.losses), len(second.losses))
    gaps = gaps_of(first, second)
    norms = np.array([first.gradient_norms[:steps], second.gradient_norms[:steps]])
    equal = None
    if first.sample and second.sample and first.sample_step == second.sample_step:
        equal = equal_beginning(first.sample, second.sample)
    left = left_band(first, second, within)
    largest = float(gaps[:steps].max())
    sound = first.label not in wrong and second.label not in wrong
    is_rounding = left is None or {first.label, second.label} in explained
    within_bound = bound is None or first_beyond(gaps, bound) is None
    return Pair(
        first=first.label,
        second=second.label,
        steps=steps,
        largest_loss_difference=largest,
        mean_loss_difference=float(gaps[:steps].mean()),
        largest_norm_difference=float(
            (np.abs(norms[0] - norms[1]) / np.maximum(norms.max(axis=0), 1e-30)).max()
        ),
        weights_difference=_weights_difference(first.label, second.label, weights),
        equal_characters=equal,
        times_the_control=None if within is None else float(excess(gaps, within).max(initial=0.0)),
        left_band_at=None if left is None else first_step + left,
        agrees=(sound and is_rounding and within_bound) if first.decides else None,
    )


def _weights_difference(first: str, second: str, weights: Mapping[str, Mapping[str, Array]]) -> float | None:
    if first not in weights or second not in weights:
        return None
    return max(difference(weights[second][name], array) for name, array in weights[first].items())


def equal_beginning(first: str, second: str) -> int:
    """How many characters two texts have in common from their beginning."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return count
    return min(len(first), len(second))
