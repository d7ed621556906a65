"""The page of the documentation that has the scores, written from the files of results and the reviewed lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mutation.judging import Judged, judge
from mutation.records import RESULTS, Record, read
from mutation.reviewed import KINDS, Equivalent, equivalents
from mutation.rules.all_rules import RULES

_TITLES = {
    "plain": "the guide's complete example",
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
}
_TOP = """\
# How much the conformance kit finds

A kit that passes a wrong backend is worse than none. So the kit is tested as it tests: backends that pass are changed
in one place, by rules, and the kit runs on each of these mutants. One that it passes is a survivor: either nothing that
the contract promises has changed, or a check is missing.

Each mutant is a change of the syntax tree, drawn uniformly, by a seed, from all that the rules below make. A mutant is
caught if a check fails, an exception comes out, the process dies, or it takes four times as long as the unchanged
backend and at least a minute. Changes that give the same program, or one that doesn't compile, are not counted.

This page is generated from the results in `tests/mutation` (`python tests/guide/generate.py`).
"""
_RUNNING = """\
## Running it

`tox -e mutants` draws and runs all of it, and writes the results to `tests/mutation/results`. One backend:

```
PYTHONPATH=tests python -m mutation run --backend numpy --count 150 --seed 1 --out numpy.jsonl
PYTHONPATH=tests python -m mutation judge numpy.jsonl
```

`judge` lists what needs review: survivors without a recorded reason, findings that point elsewhere, and names that
nobody has reviewed. The reviews are in `tests/mutation/equivalent.toml` and `named.toml`; an entry that no longer
matches a mutant fails the tests.
"""


def page() -> str:
    """The page of the published results, in Markdown."""
    known = equivalents()
    return render([judge(*read(file), known) for file in RESULTS], known)


def render(runs: Iterable[Judged], reviewed: Mapping[str, Equivalent]) -> str:
    """The page of these runs."""
    runs = list(runs)
    parts = [_TOP, _scores(runs), _survivors(runs), _equivalents(runs, reviewed), _rules(), _RUNNING]
    return "\n".join(parts)


def _scores(runs: list[Judged]) -> str:
    head = (
        "## Scores\n\n"
        "| backend | mutants | drawn | seed | caught | equivalent | survivors | score | points there | named |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(f"{_score(run)}\n" for run in runs) + _SCORES_SAY


_SCORES_SAY = """
The score is caught / (drawn - equivalent). *Points there*: the share of those caught whose first finding names the
changed function, its file, or the part of the contract that it serves (in `tests/mutation/parts.py`). *Named*: how
many were given the name of a known mistake, each name looked at by a person.
"""


def _score(run: Judged) -> str:
    draw = run.draw
    ended = [f"{count} {what}" for what in ("timeout", "memory", "crash") if (count := run.count(what))]
    caught = f"{run.caught}" + (f" ({', '.join(ended)})" if ended else "")
    cells = [
        _TITLES[draw.backend],
        f"{draw.candidates:,}",
        str(len(run.records)),
        str(draw.seed),
        caught,
        str(len(run.equivalent)),
        str(len(run.survivors)),
        _percent(run.score),
        _percent(run.pointing),
        str(len(run.names)),
    ]
    return f"| {' | '.join(cells)} |"


def _percent(share: float) -> str:
    """Rounded down, so that 100 % means all."""
    return f"{int(share * 1000) / 10:.1f} %"


_SURVIVORS = """\
## Survivors

A mutant that survives a draw, and should not, gets a check afterwards; the next draw judges that.

"""


def _survivors(runs: list[Judged]) -> str:
    records = [record for run in runs for record in run.survivors]
    if not records:
        return "## Survivors\n\nNone.\n"
    return _SURVIVORS + "".join(f"- {_mutant(record)}\n" for record in records)


def _equivalents(runs: list[Judged], reviewed: Mapping[str, Equivalent]) -> str:
    lines = [
        "## Equivalent mutants\n\nDrawn mutants that nothing, under the contract, tells from the original.\n"
    ]
    for kind, meaning in KINDS.items():
        of_kind: dict[str, list[Record]] = {}
        for record in (record for run in runs for record in run.equivalent):
            if reviewed[record.identity].kind == kind:
                of_kind.setdefault(reviewed[record.identity].reason, []).append(record)
        if of_kind:
            lines.append(f"**{kind}**: {meaning}.\n")
        for reason, records in of_kind.items():
            lines.append(f"- {reason}\n" + "".join(f"  - {_mutant(record)}\n" for record in records))
    return "\n".join(lines)


def _mutant(record: Record) -> str:
    return f"`` {record.identity} ``"


def _rules() -> str:
    lines = ["## Rules\n", "| kind | makes |", "|---|---|"]
    for kind, rules in RULES.items():
        texts = " ".join((rule.__doc__ or "").splitlines()[0] for rule in rules)
        lines.append(f"| {kind} | {texts.replace('``', '`')} |")
    left_alone = "Documentation, types, imports, and the texts of errors and of a plugin's registration are left alone."
    return "\n".join([*lines, "", left_alone, ""])
