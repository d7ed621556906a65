"""Do they agree? Every pair of one precision, and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import isinf

import numpy as np

from charkit.backend import Array
from charkit.comparison.report import Finding, Outcome, Pair
from charkit.comparison.words import counted, names, tiny
from charkit.testing.judge import difference


def pairs_of(
    outcomes: Sequence[Outcome], weights: Mapping[str, Mapping[str, Array]], bounds: Mapping[str, float]
) -> tuple[Pair, ...]:
    """Every pair of backends of one precision that both have made steps. ``weights``: at the end, by label."""
    able = [one for one in outcomes if one.losses and one.kind == "backend"]
    return tuple(
        _pair(first, second, weights, bounds.get(first.precision))
        for first, second in combinations(able, 2)
        if first.precision == second.precision
    )


def _pair(
    first: Outcome, second: Outcome, weights: Mapping[str, Mapping[str, Array]], bound: float | None
) -> Pair:
    steps = min(len(first.losses), len(second.losses))
    with np.errstate(over="ignore"):  # a loss that explodes can be anything that is finite
        gap = np.abs(np.subtract(first.losses[:steps], second.losses[:steps]))
    norms = np.array([first.gradient_norms[:steps], second.gradient_norms[:steps]])
    both_ended = first.label in weights and second.label in weights
    equal = None
    if first.sample and second.sample and first.sample_step == second.sample_step:
        equal = equal_beginning(first.sample, second.sample)
    largest = float(gap.max())
    return Pair(
        first=first.label,
        second=second.label,
        steps=steps,
        largest_loss_difference=largest,
        mean_loss_difference=float(gap.mean()),
        largest_norm_difference=float(
            (np.abs(norms[0] - norms[1]) / np.maximum(norms.max(axis=0), 1e-30)).max()
        ),
        weights_difference=max(
            difference(weights[second.label][name], array) for name, array in weights[first.label].items()
        )
        if both_ended
        else None,
        equal_characters=equal,
        bound=bound,
        agrees=None if bound is None else bool(largest <= bound),
    )


def equal_beginning(first: str, second: str) -> int:
    """How many characters two texts have in common from their beginning."""
    for count, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return count
    return min(len(first), len(second))


def nearest_to_all(labels: Sequence[str], pairs: Sequence[Pair]) -> str:
    """The one that the others are held against: the smallest median of its largest differences, or the first."""

    def distance(label: str) -> float:
        gaps = [pair.largest_loss_difference for pair in pairs if label in (pair.first, pair.second)]
        return float(np.median(np.nan_to_num(gaps, nan=np.inf, posinf=np.inf))) if gaps else 0.0

    return min(labels, key=distance)


def outsiders(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    """Who left the others, each with the one it is measured against: the one nearest to all, by precision.

    With only two there is no telling who is right, so each is listed against the other. Two that are each within
    the bound of the nearest can be too far from one another: then the farther of them has left the other.
    """
    found: list[tuple[str, str]] = []
    for group in _groups(pairs):
        apart = [pair for pair in group if pair.agrees is False]
        labels = _labels(group)
        if len(labels) == 2 and apart:
            found += [(labels[0], labels[1]), (labels[1], labels[0])]
            continue
        reference = nearest_to_all(labels, group)
        out = {_other(pair, reference): reference for pair in apart if reference in (pair.first, pair.second)}
        for pair in apart:
            if (
                pair.first not in out
                and pair.second not in out
                and reference not in (pair.first, pair.second)
            ):
                nearer = nearest_to_all((pair.first, pair.second), group)
                out[_other(pair, nearer)] = nearer
        found += out.items()
    return found


def _labels(pairs: Sequence[Pair]) -> list[str]:
    """Everyone in these pairs, once."""
    return list(dict.fromkeys(label for pair in pairs for label in (pair.first, pair.second)))


def _other(pair: Pair, label: str) -> str:
    return pair.second if pair.first == label else pair.first


def _groups(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs that decide, by precision: pairs that share a member have one precision."""
    groups: list[tuple[set[str], list[Pair]]] = []
    for pair in pairs:
        if pair.bound is None:
            continue
        home = next((group for group in groups if pair.first in group[0] or pair.second in group[0]), None)
        if home is None:
            home = (set(), [])
            groups.append(home)
        home[0].update((pair.first, pair.second))
        home[1].append(pair)
    return [group for _, group in groups]


def strays(outcomes: Sequence[Outcome]) -> list[tuple[str, str]]:
    """Whose loss stopped being finite at a step where another of its precision went on, with that other."""
    deciding = [one for one in outcomes if one.decides]
    found = []
    for one in deciding:
        further = [
            other.label
            for other in deciding
            if other.precision == one.precision and len(other.losses) > len(one.losses)
        ]
        if one.not_finite_at is not None and further:
            found.append((one.label, further[0]))
    return found


def first_beyond(gaps: Sequence[float], bound: float) -> int | None:
    """The index, counted from 0, of the first difference beyond the bound."""
    return next((index for index, gap in enumerate(gaps) if gap > bound), None)


def verdict_of(
    outcomes: Sequence[Outcome], pairs: Sequence[Pair], findings: Sequence[Finding], partial: bool
) -> str:
    """The comparison in words."""
    lost = {label for label, _ in strays(outcomes)}
    told = [_agreement(group, lost) for group in _groups(pairs)]
    told += [_departure(finding) for finding in findings]
    told += [f"{one.label} did not finish: {one.reason}." for one in outcomes if one.status == "failed"]
    if not lost and any(one.not_finite_at is not None for one in outcomes):
        told.append("Try a lower --learning-rate or --grad-clip.")
    if not any(pair.bound is not None for pair in pairs):
        needs = "it takes two backends in float32 or float64 that have made steps"
        told.insert(0, f"There was no pair to judge: {needs}.")
    if partial:
        told.insert(0, "Interrupted: this is what was done until then.")
    return " ".join(told)


def _agreement(group: Sequence[Pair], lost: set[str]) -> str:
    """Who agrees, within one precision. ``lost`` are those whose loss stopped being finite while others' did not."""
    labels = _labels(group)
    left = {label for label, _ in outsiders(group)} | (lost & set(labels))
    if len(labels) == 2 and left:
        pair = group[0]
        if pair.agrees:
            return f"{names(labels)} do not agree."
        return (
            f"{pair.first} and {pair.second} do not agree (largest difference "
            f"{tiny(pair.largest_loss_difference)} nats over {counted(pair.steps, 'step')})."
        )
    inside = [label for label in labels if label not in left]
    gaps = [p for p in group if p.first in inside and p.second in inside]
    if len(inside) < 2:
        return f"No two of {names(labels)} agree."
    largest, steps = max(pair.largest_loss_difference for pair in gaps), max(pair.steps for pair in gaps)
    return f"{names(inside)} agree (largest difference {tiny(largest)} nats over {counted(steps, 'step')})."


def _departure(finding: Finding) -> str:
    start = f"{finding.variant} differs from step {finding.differs_from_step:,}"
    if isinf(finding.by_nats):
        start += " and ends in a loss that is not finite"
    else:
        start += f" by up to {tiny(finding.by_nats)} nats"
    if finding.step is None:
        return f"{start}; no single step of it was found to be wrong: {finding.look_at}."
    named = f" ({finding.look_at})" if finding.look_at else ""
    return f"{start}: first seen in {finding.array} of step {finding.step:,}{named}."
