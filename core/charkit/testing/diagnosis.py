"""Names the mistake behind wrong numbers, by making each known mistake on the oracle and comparing.

A mistake is the oracle with one formula changed. It is named only if it reproduces every observed array, within the
bound that the right numbers missed and far more closely than they do. A mistake with a parameter, such as a decay,
is fitted by least squares and must then reproduce the arrays in the same way. Mistakes that give the same numbers
are named together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.testing.least_squares import ParameterFit
from charkit.testing.mistakes import Family, Mistake, families, gate_orders, mistakes
from charkit.testing.oracle import Oracle
from charkit.testing.reproduction import Reproduction
from charkit.testing.tolerances import BOUNDS, Compute, Proof

#: The largest number of mistakes that are named together.
_MOST_NAMES = 3
#: A fitted parameter of at most this many digits is as simple an explanation as a mistake without one.
_ROUND_DIGITS = 2
_MOST_DIGITS = 9
#: A reproduction this many times further away than the best one is discarded.
_DISCARD_RATIO = 100.0


@dataclass(frozen=True)
class Candidate:
    """A mistake that reproduces the observed arrays: how closely, and with how many digits of a parameter."""

    name: str
    where: str
    gap: float
    digits: int = 0


def diagnose(
    observed: Mapping[str, Any],
    compute: Compute,
    gaps: Mapping[str, float],
    *,
    precision: str,
    limit: float,
    proof: Proof | None = None,
) -> str:
    """Names the known mistake that reproduces these arrays and where to look, or describes them, or returns nothing.

    With a ``proof``, a second case, a mistake must reproduce the arrays of both.
    """
    if max(gaps.values(), default=0.0) <= limit:
        return ""
    with np.errstate(all="ignore"):  # some mistakes divide by zero, and some overflow
        first = Reproduction(observed, compute, limit)
        reproduction = first if proof is None else _with_proof(first, proof)
        name = _named_mistakes(reproduction, limit)
        return name or _float32_numbers(first, precision) or _not_finite(first)


def _with_proof(first: Reproduction, proof: Proof) -> Reproduction | None:
    """Both cases as one, or None if the backend fails on the second."""
    try:
        observed, compute = proof()
    except Exception:  # noqa: BLE001 - other checks report what a plugin raises
        return None
    return first.with_another(observed, compute)


def _named_mistakes(reproduction: Reproduction | None, limit: float) -> str:
    if reproduction is None:
        return ""
    found = [*_reproduced(mistakes(), reproduction)]
    found += _fitted(reproduction, {candidate.name for candidate in found})
    found = _simplest(found or [*_reproduced(gate_orders(), reproduction)], limit)
    return _description(found) if found else ""


def _reproduced(known: Iterable[Mistake], reproduction: Reproduction) -> Iterator[Candidate]:
    for mistake in known:
        gap = reproduction.gap(reproduction.arrays(mistake.oracle))
        if reproduction.explains(gap):
            yield Candidate(mistake.name, mistake.where, gap)


def _fitted(reproduction: Reproduction, found: set[str]) -> Iterator[Candidate]:
    for family in families():
        if found.isdisjoint(family.special):
            yield from _search(family, reproduction) if family.scale else _enumerate(family, reproduction)


def _enumerate(family: Family, reproduction: Reproduction) -> Iterator[Candidate]:
    """The mistakes of a family whose parameter is one of its starts."""
    for value in family.starts(reproduction.observed):
        arrays = reproduction.arrays(family.oracle(value))
        if all(np.array_equal(array, reproduction.reference[name]) for name, array in arrays.items()):
            return
        gap = reproduction.gap(arrays)
        if reproduction.explains(gap):
            yield Candidate(family.name.format(value=_number(value)), family.where, gap)


def _search(family: Family, reproduction: Reproduction) -> Iterator[Candidate]:
    """The mistake of a family whose parameter is fitted, rounded to as few digits as reproduce the arrays."""
    assert family.scale is not None

    def gap(value: float) -> float:
        return reproduction.gap(reproduction.arrays(family.oracle(value)))

    def residuals(value: float) -> NDArray[np.float64]:
        return reproduction.residuals(family.oracle(value))

    best = ParameterFit(residuals, family.scale).find(
        family.starts(reproduction.observed), reproduction.residuals(Oracle)
    )
    if best is None or not reproduction.explains(gap(best)):
        return
    configured = "" if family.configured is None else _number(family.configured(reproduction.optimizer))
    enough = max(3.0 * gap(best), reproduction.limit / 100.0)
    for digits in range(1, _MOST_DIGITS + 1):
        value = family.scale.rounded(best, digits)
        rounded_gap = gap(value)
        if rounded_gap <= enough and reproduction.explains(rounded_gap):
            name = family.name.format(value=_number(value), configured=configured)
            yield Candidate(name, family.where, rounded_gap, digits)
            return


def _number(value: float) -> str:
    """A number as people write it: 0.95, 1e-7."""
    if value == 0.0 or abs(value) >= 1e-3:
        return f"{value:.{_MOST_DIGITS}g}"
    mantissa, exponent = f"{value:.{_MOST_DIGITS - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _simplest(candidates: list[Candidate], limit: float) -> list[Candidate]:
    """The candidates that are closest and need the fewest digits; of equal names the first."""
    nearest = min((candidate.gap for candidate in candidates), default=0.0)
    closest = [
        candidate
        for candidate in candidates
        if candidate.gap <= max(_DISCARD_RATIO * nearest, limit / 1000.0)
    ]
    digits = max(_ROUND_DIGITS, min((candidate.digits for candidate in closest), default=0))
    return list(
        {candidate.name: candidate for candidate in reversed(closest) if candidate.digits <= digits}.values()
    )[::-1]


def _description(found: list[Candidate]) -> str:
    named = found[:_MOST_NAMES]
    files = dict.fromkeys(candidate.where for candidate in named)
    names = _alternatives([candidate.name for candidate in named], others=len(found) - len(named))
    return f"it looks like {names}; see {'; '.join(files)}"


def _alternatives(names: list[str], others: int) -> str:
    """The names as one, with a common beginning only once: "the wrong layer's mask: either a or b"."""
    if len(names) == 1:
        return names[0]
    subjects = {name.partition(": ")[0] for name in names}
    details = [name.partition(": ")[2] for name in names]
    subject = f"{subjects.pop()}: " if len(subjects) == 1 and all(details) else ""
    listed = [
        *(details if subject else names),
        *(["another one" if others == 1 else f"one of {others} others"] if others else []),
    ]
    return f"{subject}either {' or '.join(listed)}, which give the same numbers here"


# ---- descriptions of the arrays ------------------------------------------------------------------------------


def _float32_numbers(reproduction: Reproduction, precision: str) -> str:
    """float64 arrays that hold float32 numbers, and are right within the bounds of float32."""
    gaps = reproduction.gaps()
    if precision != "float64" or max(gaps.values()) > BOUNDS["float32"]["gradients"]:
        return ""
    off = [name for name, gap in gaps.items() if gap > reproduction.limit]
    narrow = [name for name in off if _holds_float32(reproduction.observed[name])]
    if not narrow:
        return ""
    hold = "holds" if len(narrow) == 1 else "hold"
    return (
        f"it looks like float32 arithmetic instead of float64: {_listed(narrow)} {hold} float32 numbers; "
        "see tensor() in backend.py, and constants and casts in lstm.py, output.py, loss.py and optimizer.py"
    )


def _holds_float32(array: NDArray[np.float64]) -> bool:
    """Whether every element is a float32 number, and not all are as simple as 0.5."""
    simple = np.array_equal(array, array.astype(np.float16))
    return not simple and np.array_equal(array, array.astype(np.float32))


def _not_finite(reproduction: Reproduction) -> str:
    counts = {
        name: int(np.count_nonzero(~np.isfinite(array))) for name, array in reproduction.observed.items()
    }
    bad = [name for name, count in counts.items() if count]
    if not bad:
        return ""
    first = f"{counts[bad[0]]} of {reproduction.observed[bad[0]].size} elements of {bad[0]}"
    more = len(bad) - 1
    return f"not finite: {first}" + (
        f", and some in {more} more {'array' if more == 1 else 'arrays'}" if more else ""
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
