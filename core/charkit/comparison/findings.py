"""Where each variant that left the others did so, and what is wrong there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from safetensors import SafetensorError

from charkit.comparison.agreement import first_beyond, outsiders, strays
from charkit.comparison.child import ChildFailedError
from charkit.comparison.place import Place, find_place
from charkit.comparison.plan import Plan, Variant
from charkit.comparison.report import Finding, Outcome, Pair

#: What can go wrong while a step is looked at: the child, the disk, arrays of another shape, the oracle's memory.
TROUBLES = (ChildFailedError, OSError, ValueError, KeyError, MemoryError, SafetensorError)


def find_all(
    outcomes: Sequence[Outcome],
    pairs: Sequence[Pair],
    variants: Mapping[str, Variant],
    plan: Plan,
    first_step: int,
    tell: Callable[[str], None],
) -> list[Finding]:
    """A finding for each variant that left, in the order of the pairs. ``variants`` are by label."""
    by_label = {outcome.label: outcome for outcome in outcomes}
    left = dict(outsiders(pairs))
    left |= {label: reference for label, reference in strays(outcomes) if label not in left}
    return [
        _finding(variants[label], by_label[label], by_label[reference], plan, first_step, tell)
        for label, reference in left.items()
    ]


def _finding(
    variant: Variant,
    ours: Outcome,
    theirs: Outcome,
    plan: Plan,
    first_step: int,
    tell: Callable[[str], None],
) -> Finding:
    steps = min(len(ours.losses), len(theirs.losses))
    with np.errstate(over="ignore"):
        gaps = np.abs(np.subtract(ours.losses[:steps], theirs.losses[:steps])).tolist()
    if ours.not_finite_at is not None and len(theirs.losses) > steps:
        gaps.append(float("inf"))
    index = first_beyond(gaps, plan.bounds[variant.precision])
    assert index is not None, "who has not left has no finding"
    finding = Finding(
        variant=ours.label,
        reference=theirs.label,
        differs_from_step=first_step + index,
        by_nats=max(gaps),
    )
    try:
        place = find_place(variant, plan, first_step, gaps[: index + 1], tell)
    except TROUBLES as error:
        told = f"it failed when its steps were looked at: {' '.join(str(error).split())}"
        return finding.model_copy(update={"look_at": told})
    return finding.model_copy(update=_told(place))


def _told(place: Place | None) -> dict[str, object]:
    if place is None:
        return {"look_at": "each step that was looked at is the oracle's; rounding may have added up"}
    return {
        "step": place.step,
        "array": place.array,
        "expected": place.expected,
        "got": place.got,
        "look_at": place.look_at,
    }
