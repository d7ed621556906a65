"""Generates docs/kit.md: every check of the kit, what it demands, and the planted faults that it catches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from charkit.testing import STAGES, all_checks
from charkit.testing.mistakes import families, mistakes
from charkit.testing.registry import Check
from charkit.testing.tolerances import BOUNDS
from conformance import named_mistakes, planted
from guide.pages import anchor

INTRODUCTION = """\
# The checks

This page lists every check of the conformance kit, in the order in which `toolkit verify` runs them. *Requires* states
the rule of the [contract](contract.md) that the check tests; where the entry only describes a case, the results
must match the float64 reference within the [bounds](#bounds). *Catches* lists the faults that charkit's own tests plant
in a correct backend and that the check must report; a check without a planted fault isn't accepted. [Writing a
backend](backends.md#reading-a-failure) explains how to read a failure. The share of faults that the kit finds was
[measured with mutants](mutation.md).

This page is generated from the kit and from the tables of planted faults (`python tests/guide/generate.py`).
"""


class Planted(NamedTuple):
    """A planted fault in words, and the checks that must fail on it."""

    what: str
    checks: tuple[str, ...]


#: The tables of planted faults. A new one is a line here.
SOURCES: tuple[tuple[Planted, ...], ...] = (
    tuple(Planted(fault.what, fault.fails) for fault in planted.FAULTS),
    tuple(Planted(what, (check,)) for check, what in planted.TESTED_SEPARATELY.items()),
)


def page(planted: Iterable[Planted] | None = None) -> str:
    """The text of docs/kit.md."""
    faults = list(planted if planted is not None else (fault for source in SOURCES for fault in source))
    checks = all_checks()
    contents = "".join(f"- [{heading(stage)}](#{anchor(heading(stage))})\n" for stage in STAGES)
    others = "- [Bounds](#bounds)\n- [Known mistakes](#known-mistakes)\n"
    count = f"There are {len(checks)} checks and {len({fault.what for fault in faults})} planted faults.\n"
    parts = [INTRODUCTION, count, contents + others]
    for stage, needed in STAGES.items():
        parts.append(f"## {heading(stage)}\n")
        if needed:
            parts.append(f"Runs if {_and(f'*{one}*' for one in needed)} passed.\n")
        parts.append("\n".join(_table([check for check in checks if check.stage == stage], faults)) + "\n")
    parts += ["## Bounds\n", *_bounds(), "## Known mistakes\n", *_named()]
    return "\n".join(parts)


def heading(stage: str) -> str:
    """The title of a stage's section."""
    return f"Stage {stage}"


def _table(checks: list[Check], faults: list[Planted]) -> Iterator[str]:
    yield "| check | requires | catches |\n|---|---|---|"
    for check in checks:
        caught = [fault.what for fault in faults if check.name in fault.checks]
        if not caught:
            raise ValueError(f"no planted fault is caught by {check.name}")
        demands = _cell(check.promise) + _scope(check)
        yield f"| `{check.name}` | {demands} | {_cell('; '.join(dict.fromkeys(caught)))} |"


def _scope(check: Check) -> str:
    """Where the check applies, unless it applies to every backend in every precision."""
    if check.capability:
        return f" *If `{check.capability}` is declared.*"
    return f" *In {_and(check.among)}.*" if check.among else ""


def _bounds() -> Iterator[str]:
    kinds = list(next(iter(BOUNDS.values())))
    yield (
        "The largest allowed difference from the float64 reference, relative to the largest element of the array:\n"
        "`max|difference| / max|reference|`.\n"
    )
    yield f"| precision | {' | '.join(kinds)} |\n|---|{'---|' * len(kinds)}"
    for precision, bounds in BOUNDS.items():
        yield f"| {precision} | {' | '.join(f'{bounds[kind]:.0e}' for kind in kinds)} |"
    yield ""


def _named() -> Iterator[str]:
    yield (
        "The kit names a mistake if the same mistake, made in the reference implementation, reproduces every array "
        "that the\nbackend returned, within the bound and far more closely than the correct results do. Mistakes that "
        "give the same\nnumbers are named together. To test this, charkit's own tests plant "
        f"{len(named_mistakes.FAULTS)} faults and check the names. The kit\nknows every permutation of the gates and "
        "the following mistakes, where N stands for a parameter that is fitted to the\narrays:\n"
    )
    fitted = (family.name.format(value="N", configured="the configured value") for family in families())
    names = dict.fromkeys([*(mistake.name for mistake in mistakes()), *fitted])
    yield "\n".join(f"- {_cell(name)}" for name in names) + "\n"


def _and(words: Iterable[str]) -> str:
    return " and ".join(words)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("*", "\\*")
