"""Command line: draws mutants of the core's modules and runs each module's tests on them, or judges the results.

PYTHONPATH=tests python -m mutation.core run --module weights --count 40 --seed 1 --out results
PYTHONPATH=tests python -m mutation.core again --module weights --out results
PYTHONPATH=tests python -m mutation.core judge results

``again`` runs the survivors of a draw once more, after tests were added for them.
``judge`` ends with status 1 if less than 85% of a module's mutants that are not equivalent were killed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mutation.core_judging import BAR, RESULTS, judge_all, results
from mutation.core_modules import MODULES, NAME
from mutation.core_running import run_mutants, run_unchanged
from mutation.drawing import draw
from mutation.mutants import Mutant
from mutation.processes import Limits
from mutation.records import Draw, Record, Writer, read
from mutation.reviewed import CORE_EQUIVALENT, equivalents

#: A mutant is ended after this many times what the tests take on the module as it is, but not before a minute.
_TIMEOUT_FACTOR = 5.0
_SHORTEST_TIMEOUT_SECONDS = 60.0
_LONGEST_TIMEOUT_SECONDS = 1800.0


def _run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    known = equivalents(CORE_EQUIVALENT)
    for name in options.module or MODULES:
        mutants = MODULES[name].mutants()
        eligible = [one for one in mutants if options.only in one.identity]
        if options.unreviewed:
            eligible = [one for one in eligible if one.identity not in known]
        drawn = draw(eligible, options.seed, options.count)
        _run_module(name, drawn, len(mutants), options.seed, results(options.out, name), options.jobs)
    return 0


def _again(options: argparse.Namespace) -> int:
    for name in options.module or MODULES:
        if not results(options.out, name).is_file():
            continue
        drawn, records = read(results(options.out, name))
        survivors = {record.identity for record in records if record.verdict.outcome == "survived"}
        survivors -= equivalents(CORE_EQUIVALENT).keys()
        mutants = [one for one in MODULES[name].mutants() if one.identity in survivors]
        if mutants:
            out = results(options.out, name, again=True)
            _run_module(name, mutants, drawn.candidates, drawn.seed, out, options.jobs)
    return 0


def _run_module(name: str, mutants: list[Mutant], candidates: int, seed: int, out: Path, jobs: int) -> None:
    """Runs the tests of a module on these mutants, of so many candidates, and records the results."""
    module = MODULES[name]
    unchanged = run_unchanged(module, Limits(_LONGEST_TIMEOUT_SECONDS)).seconds
    print(
        f"{module.path}: {len(mutants)} of {candidates} mutants; unchanged, its tests take {unchanged:.1f} s",
        flush=True,
    )
    target = f"{NAME} {module.path}"
    draft = Draw(target, seed, len(mutants), candidates, len(module.tests), round(unchanged, 1))
    writer = Writer(out, draft)

    def on_record(record: Record) -> None:
        writer.add(record)
        verdict = record.verdict
        print(f"{verdict.outcome:9}{verdict.seconds:6.1f} s  {record.identity}", flush=True)

    limits = Limits(max(_SHORTEST_TIMEOUT_SECONDS, _TIMEOUT_FACTOR * unchanged))
    run_mutants(module, mutants, on_record, limits, jobs)


def _judge(options: argparse.Namespace) -> int:
    """Prints the scores and what needs review; the status is 1 if a bar is missed."""
    met = True
    for one in judge_all(options.results):
        print(f"{one.module}: {one.drawn_score:.1%} of {one.counted} killed, {one.score:.1%} with more tests")
        for title, records in (
            ("survived, and no reason is given", [each for each in one.survivors if each not in one.mended]),
            ("listed as equivalent, and killed", one.excused),
        ):
            if records:
                print(f"  {title}: {len(records)}", *sorted(each.identity for each in records), sep="\n    ")
        met &= one.score >= BAR and not one.excused
    return 0 if met else 1


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="mutation.core", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="draw mutants of modules and run their tests on each")
    run.add_argument("--module", choices=MODULES, action="append", help="may be repeated; unset, all")
    run.add_argument("--count", type=int, default=40, help="how many of each module are drawn (40)")
    run.add_argument("--seed", type=int, default=1, help="of the draw (1)")
    run.add_argument("--jobs", type=int, default=1, help="how many are run at a time (1)")
    run.add_argument("--only", default="", help="draw from the mutants whose name contains this text")
    run.add_argument("--unreviewed", action="store_true", help="leave out those listed as equivalent")
    run.add_argument("--out", type=Path, required=True, help="directory of results, a file for each module")
    run.set_defaults(call=_run)
    again = commands.add_parser("again", help="run the survivors of recorded draws once more")
    again.add_argument("--module", choices=MODULES, action="append", help="may be repeated; unset, all")
    again.add_argument("--jobs", type=int, default=1, help="how many are run at a time (1)")
    again.add_argument("--out", type=Path, default=RESULTS, help="directory of the results")
    again.set_defaults(call=_again)
    judge = commands.add_parser("judge", help="scores, and what needs review; status 1 if a bar is missed")
    judge.add_argument("results", type=Path, nargs="?", default=RESULTS)
    judge.set_defaults(call=_judge)
    options = parser.parse_args()
    return int(options.call(options))


if __name__ == "__main__":
    sys.exit(main())
