"""The section of the documentation's page of mutants that is about the core's own tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mutation.core_judging import BAR, JudgedModule
from mutation.core_modules import MODULES
from mutation.reviewed import Equivalent

_TOP = f"""\
## The tests of the core

The same rules are applied to some modules of the core, and the tests of the changed module must fail. Only the tests
for that module are run, not the whole suite. At least {BAR:.0%} of the mutants that are not equivalent must be killed,
if necessary by tests that are added after the draw (last column).

| module | mutants | drawn | seed | killed | equivalent | survivors | score | score with more tests |
|---|---|---|---|---|---|---|---|---|
"""
_AFTER = """
The score is killed / (drawn - equivalent). All survivors were reviewed. If a test should have failed, either a test was
added or another test file for the module was included, and the survivors were run again. The last column shows the
score after that; it is not the score of a new draw.

A new draw with seed 2 took 20 mutants from each of four modules. The tests, including the added ones, killed 20 of
`weights.py`, 20 of what is now `runs/files_by_path.py` and `runs/new_folders.py`, 13 of `symbol_sampling.py` and 12 of
`runs/checkpoint_content.py`. The 15 survivors were reviewed too: two are equivalent, and tests were added for the
others.

`tox -e code-mutants` draws mutants of each of these modules and runs the tests. To do this for a single module:

```
PYTHONPATH=tests python -m mutation.core run --module weights --count 40 --seed 2 --out results
PYTHONPATH=tests python -m mutation.core judge results
```

The reasons why mutants are equivalent are recorded in `tests/mutation/core_equivalent.toml`.
"""


def section(modules: Iterable[JudgedModule], reviewed: Mapping[str, Equivalent]) -> str:
    """The section on these modules, in Markdown; nothing if there are none."""
    modules = list(modules)
    if not modules:
        return ""
    lines = [_TOP + "".join(f"{_row(one)}\n" for one in modules) + _AFTER]
    alive = [record for one in modules for record in one.survivors if record not in one.mended]
    if alive:
        lines.append("Survivors for which there is no test yet:\n")
        lines.append("".join(f"- `` {record.identity} ``\n" for record in alive))
    reasons: dict[str, list[str]] = {}
    for record in (record for one in modules for record in one.equivalent):
        reasons.setdefault(reviewed[record.identity].reason, []).append(record.identity)
    if reasons:
        lines.append("Equivalent mutants of the core:\n")
    for reason, identities in reasons.items():
        lines.append(f"- {reason}\n" + "".join(f"  - `` {identity} ``\n" for identity in identities))
    return "\n".join(lines)


def _row(one: JudgedModule) -> str:
    draw = one.draw
    numbers = (draw.candidates, draw.count, draw.seed, one.caught, len(one.equivalent), len(one.survivors))
    scores = (f"{int(score * 1000) / 10:.1f}%" for score in (one.drawn_score, one.score))
    return f"| {' | '.join((f'`{MODULES[one.module].path}`', *map(str, numbers), *scores))} |"
