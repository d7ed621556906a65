"""The page of the documentation that has the scores, written from the files of results and the reviewed lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mutation.core_judging import judge_all
from mutation.core_report import section
from mutation.judging import Judged, judge
from mutation.records import RESULTS, Record, read
from mutation.reviewed import CORE_EQUIVALENT, KINDS, Equivalent, equivalents
from mutation.rules.all_rules import RULES

_TITLES = {
    "plain": "the guide's complete example",
    "numpy": "NumPy",
    "torch": "PyTorch",
    "jax": "JAX",
}
_TOP = """\
# How much the conformance kit finds

A kit that passes an incorrect backend is worse than no kit, so the kit itself is tested. A set of rules changes a
passing backend in one place at a time, and the kit runs on each of the resulting mutants. If a mutant passes, either
the change affects nothing that the contract promises (an *equivalent* mutant), or a check is missing (a *survivor*).

Each mutant is a change to the syntax tree, drawn uniformly and with a fixed seed from all changes that the rules
below can make. A mutant is caught if a check fails, an exception is raised, the process dies, or the run takes at
least a minute and at least four times as long as with the unchanged backend. Changes that result in the same program,
or in a program that doesn't compile, are not counted.

This page is generated from the results in `tests/mutation` (`python tests/guide/generate.py`).
"""
_RUNNING = """\
## Running the mutants

`tox -e mutants` draws mutants of all four backends, runs the kit on them and judges the results. To do this for a
single backend:

```
PYTHONPATH=tests python -m mutation run --backend numpy --count 150 --seed 1 --out numpy.jsonl
PYTHONPATH=tests python -m mutation judge numpy.jsonl
```

`judge` lists what needs review: survivors without a recorded reason, findings that point elsewhere, and unreviewed
names. The reviews are in `tests/mutation/equivalent.toml` and `named.toml`. If an entry no longer matches a mutant,
the tests fail.
"""


_BY_PEOPLE = """\
## Mistakes that people planted

The rules make only small changes, so people who had not written the checks also planted mistakes that developers
make, such as a cache with an incomplete key, a missing lock, or a path that only large batches take. In each round,
they planted 20 mistakes in the NumPy backend and the complete example together, and 20 in the PyTorch and JAX
backends together. They listed the mistakes before they read the kit's code, and showed how each of them affects a
user.

| round | mistakes | caught | passed the kit | of these, caught now |
|---|---|---|---|---|
| 10 | 40 | 24 | 16 | 16 |
| 11 | 40 | 27 | 13 | 10 |
| 12 | 40 | 32 | 8 | 7 |
| 13 | 40 | 31 | 9 | 5 |
| 14 | 40 | 32 | 8 | 8 |
| 15 | 40 | 37 | 3 | 3 |
| 16 | 40 | 32 | 8 | 8 |
| 17 | 40 | 36 | 4 | 4 |
| 18 | 40 | 32 | 8 | 6 |
| 19 | 40 | 35 | 5 | 2 |

In rounds 16 and 17, there were four people, one for each backend, with 10 mistakes each. One of the eight mistakes in
round 16 that count as passed is the incorrect thread count described below: the kit missed it because the machine was
busy, but finds it on an idle machine. One of the four such mistakes in round 17 counts as caught, although it no
longer has any effect: the core now shields conversions to tensors from the user's `np.seterr` settings. In these
rounds, the participants also found faults in the PyTorch and JAX backends themselves, which have since been fixed:
sums that stalled in bfloat16, and results or errors that depended on the user's settings. In round 17, they planted
two more mistakes, one of which the kit misses: PyTorch weights that still require gradients after an interruption,
which makes sampling slower.

Of the eight mistakes that passed the kit in round 18, it now catches six, among them a `versions()` that reports
SciPy's BLAS instead of NumPy's; it finds this one only where SciPy is installed. The other two are a JAX step that
loses the weights if memory runs out, and a backend that ignores a limit on threads that the user sets after creating
it.

In round 19, the two mistakes that the kit now catches joined the halves of many predictions along the wrong axis, and
divided batches or not depending on measured time, so that results were not reproducible. The other three are buffers
that are kept for every batch shape, an update that loses the weights if memory runs out with weight decay, and a
limit on threads that takes milliseconds to set in each call. Of 15 further mistakes, seven passed. The kit now
catches five of them: an array that both threads write to if the halves of a batch are equal in size, a thread that
outlives its network, the wrong BLAS in `versions()`, losses in a ring of four buffers, and floating-point warnings
from a backend's own thread. It misses an update that reserves no memory and an ignored limit on threads.

In round 14, one of the eight mistakes that count as passed made the kit wait forever, and another was caught, but for
the wrong reason. The people who planted them also tried a correct backend that starts a new thread in each call,
which the kit wrongly rejected at the time but now accepts. They found two more mistakes: a `versions()` that reports
SciPy's BLAS instead of NumPy's, which the kit now catches, and one that leaves out jaxlib, which it still misses.

In round 15, they planted 37 more mistakes, some of them after they had seen the kit's findings or read its checks.
The kit let 11 of these pass; it now catches ten of them. The remaining one keeps the features of the last call, which
the contract doesn't clearly forbid.

For each mistake that is now caught, the tests contain a similar planted fault. One of them, a thread count that the
JAX backend reports incorrectly, was found in each of five attempts on an idle machine, but in only seven of eight
with four other programs running on two processors, where one thread can look like two. The contract doesn't clearly
forbid the mistakes from rounds 10 to 17 that still pass: using `os.cpu_count()` instead of the number of processors
that the process may use, weights or moments that are lost when memory runs out during a step (three mistakes), a
strong reference to the latest weights, buffers that are kept for every batch shape (two), and a thread that a forked
process waits for.
"""


def page() -> str:
    """The page of the published results, in Markdown."""
    known = equivalents()
    core = section(judge_all(), equivalents(CORE_EQUIVALENT))
    return render([judge(*read(file), known) for file in RESULTS], known, core)


def render(runs: Iterable[Judged], reviewed: Mapping[str, Equivalent], core: str = "") -> str:
    """The page of these runs, with the section on the tests of the core."""
    runs = list(runs)
    parts = [
        _TOP,
        _scores(runs),
        _BY_PEOPLE,
        _survivors(runs),
        _equivalents(runs, reviewed),
        _rules(),
        _RUNNING,
    ]
    parts += [core] if core else []
    return "\n".join(parts)


def _scores(runs: list[Judged]) -> str:
    head = (
        "## Scores\n\n"
        "| backend | mutants | drawn | seed | caught | equivalent | survivors | score | located | named |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(f"{_score(run)}\n" for run in runs) + _SCORES_SAY


_SCORES_SAY = """
The score is caught / (drawn - equivalent). *Located* is the share of caught mutants whose first finding names the
changed function, its file, or the part of the contract that it implements (see `tests/mutation/parts.py`). *Named* is
the number of mutants that the kit identified as a known mistake; each name was reviewed by a person.
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
    """Rounded down, so that 100% means all."""
    return f"{int(share * 1000) / 10:.1f}%"


_SURVIVORS = """\
## Survivors

If a mutant survives a draw but shouldn't have, a check is added for it; the next draw tests that check.

"""


def _survivors(runs: list[Judged]) -> str:
    records = [record for run in runs for record in run.survivors]
    if not records:
        return "## Survivors\n\nNone.\n"
    return _SURVIVORS + "".join(f"- {_mutant(record)}\n" for record in records)


def _equivalents(runs: list[Judged], reviewed: Mapping[str, Equivalent]) -> str:
    lines = [
        "## Equivalent mutants\n\n"
        "Under the contract, the following drawn mutants can't be distinguished from the original backend.\n"
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
    lines = ["## Rules\n", "| kind | change |", "|---|---|"]
    for kind, rules in RULES.items():
        texts = " ".join((rule.__doc__ or "").splitlines()[0] for rule in rules)
        lines.append(f"| {kind} | {texts.replace('``', '`')} |")
    left_alone = (
        "The rules don't change documentation, type annotations, imports, error messages or the descriptions in a "
        "plugin's registration."
    )
    return "\n".join([*lines, "", left_alone, ""])
