"""Command line: draws mutants of the core's modules and runs each module's tests on them, or judges the results.

PYTHONPATH=tests python -m mutation.core run --module weights --count 40 --seed 1 --out results
PYTHONPATH=tests python -m mutation.core judge results

``judge`` ends with status 1 if less than 85% of a module's mutants that are not equivalent were killed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mutation.core_judging import BAR, RESULTS, judge_all
from mutation.core_modules import MODULES, NAME
from mutation.core_running import run_mutants, run_unchanged
from mutation.drawing import draw
from mutation.processes import Limits
from mutation.records import Draw, Record, Writer
from mutation.reviewed import CORE_EQUIVALENT, equivalents

#: A mutant is ended after this many times what the tests take on the module as it is, but not before a minute.
_TIMEOUT_FACTOR = 5.0
_SHORTEST_TIMEOUT_SECONDS = 60.0
_LONGEST_TIMEOUT_SECONDS = 1800.0


def _run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    for name in options.module or MODULES:
        _run_module(name, options)
    return 0


def _run_module(name: str, options: argparse.Namespace) -> None:
    module, known = MODULES[name], equivalents(CORE_EQUIVALENT)
    mutants = module.mutants()
    eligible = [one for one in mutants if options.only in one.identity]
    if options.unreviewed:
        eligible = [one for one in eligible if one.identity not in known]
    drawn = draw(eligible, options.seed, options.count)
    unchanged = run_unchanged(module, Limits(_LONGEST_TIMEOUT_SECONDS)).seconds
    print(
        f"{module.path}: {len(drawn)} of {len(mutants)} mutants; unchanged, its tests take {unchanged:.1f} s",
        flush=True,
    )
    target = f"{NAME} {module.path}"
    writer = Writer(
        options.out / f"{name}.jsonl",
        Draw(target, options.seed, len(drawn), len(mutants), len(module.tests), round(unchanged, 1)),
    )

    def on_record(record: Record) -> None:
        writer.add(record)
        verdict = record.verdict
        print(f"{verdict.outcome:9}{verdict.seconds:6.1f} s  {record.identity}", flush=True)

    limits = Limits(max(_SHORTEST_TIMEOUT_SECONDS, _TIMEOUT_FACTOR * unchanged))
    run_mutants(module, drawn, on_record, limits, options.jobs)


def _judge(options: argparse.Namespace) -> int:
    """Prints the scores and what needs review; the status is 1 if a bar is missed."""
    met = True
    for one in judge_all(options.results):
        print(f"{one.module}: {one.score:.1%} of {one.caught + len(one.survivors)} killed")
        for title, records in (
            ("survived, and no reason is given", one.survivors),
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
    run.add_argument("--out", type=Path, required=True, help="folder of results, a file for each module")
    run.set_defaults(call=_run)
    judge = commands.add_parser("judge", help="scores, and what needs review; status 1 if a bar is missed")
    judge.add_argument("results", type=Path, nargs="?", default=RESULTS)
    judge.set_defaults(call=_judge)
    options = parser.parse_args()
    return int(options.call(options))


if __name__ == "__main__":
    sys.exit(main())
