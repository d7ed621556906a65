"""Names the mistake behind wrong numbers, by making each known one on the oracle and comparing.

A mistake is the oracle with one formula changed. It is named only if it gives every array that came, within the
bound that the right numbers missed and far nearer than they are. A mistake with a number of its own, such as
a decay, is searched for by least squares and then proves itself in the same way. Mistakes that give the same
numbers here are named together. So a name is a finding, not a guess; what else is said is a fact about the arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charkit.testing.least_squares import Fit
from charkit.testing.mistakes import Family, Mistake, families, gate_orders, mistakes
from charkit.testing.oracle import Oracle
from charkit.testing.reproduction import Reproduction
from charkit.testing.tolerances import BOUNDS, Compute, Proof

#: Mistakes that give the same numbers and are named together, at most.
_NAMED_TOGETHER = 3
#: A number that was found, with no more digits than these, is as simple an explanation as a mistake without one.
_ROUND_DIGITS = 2
_MOST_DIGITS = 9
#: A reproduction this many times further away than the best one is not the mistake.
_AS_NEAR = 100.0


@dataclass(frozen=True)
class Candidate:
    """A mistake that gives the arrays that came: how near, and with how many digits of its own."""

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
    """Says which known mistake gives these arrays and where to look, or what is a fact of them, or nothing.

    With a ``proof``, a second case, a mistake must give the arrays of both.
    """
    if max(gaps.values(), default=0.0) <= limit:
        return ""
    with np.errstate(all="ignore"):  # some mistakes divide by zero, and some overflow
        first = Reproduction(observed, compute, limit)
        named = _named(first if proof is None else _both(first, proof), limit)
        return named or _narrow(first, precision) or _not_finite(first)


def _both(first: Reproduction, proof: Proof) -> Reproduction | None:
    """Both cases as one, or nothing where the backend can't do the second."""
    try:
        observed, compute = proof()
    except Exception:  # noqa: BLE001 - whatever a plugin raises; other checks report it, and no name is given here
        return None
    return first.with_another(observed, compute)


def _named(reproduction: Reproduction | None, limit: float) -> str:
    if reproduction is None:
        return ""
    found = [*_reproduced(mistakes(), reproduction)]
    found += _families(reproduction, {candidate.name for candidate in found})
    found = _simplest(found or [*_reproduced(gate_orders(), reproduction)], limit)
    return _told(found) if found else ""


def _reproduced(known: Iterable[Mistake], reproduction: Reproduction) -> Iterator[Candidate]:
    for mistake in known:
        gap = reproduction.gap(reproduction.arrays(mistake.oracle))
        if reproduction.explains(gap):
            yield Candidate(mistake.name, mistake.where, gap)


def _families(reproduction: Reproduction, found: set[str]) -> Iterator[Candidate]:
    for family in families():
        if found.isdisjoint(family.special):
            yield from _searched(family, reproduction) if family.scale else _tried(family, reproduction)


def _tried(family: Family, reproduction: Reproduction) -> Iterator[Candidate]:
    """The mistakes of a family whose number is one of its starts."""
    for value in family.starts(reproduction.observed):
        arrays = reproduction.arrays(family.oracle(value))
        if all(np.array_equal(array, reproduction.reference[name]) for name, array in arrays.items()):
            return
        gap = reproduction.gap(arrays)
        if reproduction.explains(gap):
            yield Candidate(family.name.format(value=_number(value)), family.where, gap)


def _searched(family: Family, reproduction: Reproduction) -> Iterator[Candidate]:
    """The mistake of a family whose number least squares finds, rounded to as few digits as explain what came."""
    assert family.scale is not None

    def gap(value: float) -> float:
        return reproduction.gap(reproduction.arrays(family.oracle(value)))

    def residuals(value: float) -> NDArray[np.float64]:
        return reproduction.residuals(family.oracle(value))

    best = Fit(residuals, family.scale).find(
        family.starts(reproduction.observed), reproduction.residuals(Oracle)
    )
    if best is None or not reproduction.explains(gap(best)):
        return
    asked = "" if family.asked is None else _number(family.asked(reproduction.optimizer))
    enough = max(3.0 * gap(best), reproduction.limit / 100.0)
    for digits in range(1, _MOST_DIGITS + 1):
        value = family.scale.rounded(best, digits)
        near = gap(value)
        if near <= enough and reproduction.explains(near):
            name = family.name.format(value=_number(value), asked=asked)
            yield Candidate(name, family.where, near, digits)
            return


def _number(value: float) -> str:
    """A number as people write it: 0.95, 1e-7."""
    if value == 0.0 or abs(value) >= 1e-3:
        return f"{value:.{_MOST_DIGITS}g}"
    mantissa, exponent = f"{value:.{_MOST_DIGITS - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _simplest(candidates: list[Candidate], limit: float) -> list[Candidate]:
    """Those that come nearest, and need the fewest digits of their own; of the same name the first."""
    nearest = min((candidate.gap for candidate in candidates), default=0.0)
    near = [one for one in candidates if one.gap <= max(_AS_NEAR * nearest, limit / 1000.0)]
    digits = max(_ROUND_DIGITS, min((one.digits for one in near), default=0))
    return list({one.name: one for one in reversed(near) if one.digits <= digits}.values())[::-1]


def _told(found: list[Candidate]) -> str:
    named = found[:_NAMED_TOGETHER]
    places = dict.fromkeys(one.where for one in named)
    said = _either([one.name for one in named], others=len(found) - len(named))
    return f"it looks like {said}; see {'; '.join(places)}"


def _either(names: list[str], others: int) -> str:
    """The names as one, what they begin with said once: "another layer's mask: either a or b"."""
    if len(names) == 1:
        return names[0]
    subjects = {name.partition(": ")[0] for name in names}
    details = [name.partition(": ")[2] for name in names]
    subject = f"{subjects.pop()}: " if len(subjects) == 1 and all(details) else ""
    listed = [*(details if subject else names), *([f"one of {others} others"] if others else [])]
    return f"{subject}either {' or '.join(listed)}, which give the same numbers here"


# ---- facts ---------------------------------------------------------------------------------------------------


def _narrow(reproduction: Reproduction, precision: str) -> str:
    """float64 arrays that hold float32 numbers, and are right within the bounds of float32."""
    gaps = reproduction.gaps()
    if precision != "float64" or max(gaps.values()) > BOUNDS["float32"]["gradients"]:
        return ""
    off = [name for name, gap in gaps.items() if gap > reproduction.limit]
    narrow = [name for name in off if _is_narrow(reproduction.observed[name])]
    if not narrow:
        return ""
    hold = "holds" if len(narrow) == 1 else "hold"
    return (
        f"it looks like float32 arithmetic where float64 was asked: {_listed(narrow)} {hold} float32 numbers; "
        "see backend.py tensor(), and constants and casts in lstm.py, output.py, loss.py and optimizer.py"
    )


def _is_narrow(array: NDArray[np.float64]) -> bool:
    """Whether every element is a float32 number, and some of them are not of the simplest, such as 0.5."""
    simple = np.array_equal(array, array.astype(np.float16))
    return not simple and np.array_equal(array, array.astype(np.float32))


def _not_finite(reproduction: Reproduction) -> str:
    counts = {name: int(np.count_nonzero(~np.isfinite(came))) for name, came in reproduction.observed.items()}
    bad = [name for name, count in counts.items() if count]
    if not bad:
        return ""
    first = f"{counts[bad[0]]} of {reproduction.observed[bad[0]].size} elements of {bad[0]}"
    more = len(bad) - 1
    return f"not finite: {first}" + (
        f", and of {more} more {'array' if more == 1 else 'arrays'}" if more else ""
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
