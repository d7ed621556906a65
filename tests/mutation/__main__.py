"""Command line: draws mutants and runs the kit on them, or lists the results that need review.

PYTHONPATH=tests python -m mutation run --backend numpy --count 150 --seed 1 --out numpy.jsonl
PYTHONPATH=tests python -m mutation judge numpy.jsonl
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from charkit.testing import all_checks
from mutation.drawing import all_mutants, draw
from mutation.judging import POINTING_BAR, SCORE_BAR, Judged, judge
from mutation.processes import Limits
from mutation.records import RESULTS, Draw, Record, Writer, read
from mutation.reviewed import equivalents, named
from mutation.running import run_mutants, run_unchanged
from mutation.targets import TARGETS

#: A mutant is ended after this many times what the kit takes on the backend as it is, but not before a minute.
_TIMEOUT_FACTOR = 4.0
_SHORTEST_TIMEOUT_SECONDS = 60.0
_LONGEST_TIMEOUT_SECONDS = 900.0


def _run(options: argparse.Namespace) -> int:
    target = TARGETS[options.backend]
    mutants, known = all_mutants(target), equivalents()
    eligible = [one for one in mutants if options.only in one.identity]
    if options.unreviewed or options.listed:
        eligible = [one for one in eligible if (one.identity in known) == options.listed]
    drawn = draw(eligible, options.seed, options.count)
    target.prepare()
    checks = len(all_checks())
    unchanged = run_unchanged(target, Limits(_LONGEST_TIMEOUT_SECONDS)).seconds
    print(
        f"{target.name}: {len(drawn)} of {len(mutants)} mutants; unchanged, the kit takes {unchanged:.1f} s",
        flush=True,
    )
    draft = Draw(target.name, options.seed, len(drawn), len(mutants), checks, round(unchanged, 1))
    writer = Writer(options.out, draft)

    def print_record(record: Record) -> None:
        writer.add(record)
        verdict = record.verdict
        print(
            f"{verdict.outcome:9}{verdict.seconds:6.1f} s  {verdict.check or '-'}  {record.identity}",
            flush=True,
        )

    run_mutants(
        target,
        drawn,
        print_record,
        Limits(max(_SHORTEST_TIMEOUT_SECONDS, _TIMEOUT_FACTOR * unchanged)),
        options.jobs,
    )
    return 0


def _judge(options: argparse.Namespace) -> int:
    """Prints what needs review; the status is 1 if a bar is missed."""
    rights, met = named(), True
    for run in _judged(options.results):
        names = {(record.identity, name) for record, name in run.names}
        wrong = {pair for pair in names if rights.get(pair) is False}
        print(f"{run.draw.backend}: {run.score:.1%} caught, {run.pointing:.1%} of the findings point there")
        _list("survived, and no reason is given", [record.identity for record in run.survivors])
        _list("listed as equivalent, and caught", [_finding(record) for record in run.excused])
        _list("the finding points elsewhere", [_finding(record) for record in run.elsewhere])
        _list("named, and not reviewed", [f"{name}: {identity}" for identity, name in names - rights.keys()])
        _list("named wrongly", [f"{name}: {identity}" for identity, name in wrong])
        met &= run.score >= SCORE_BAR and run.pointing >= POINTING_BAR and not wrong and not run.excused
    return 0 if met else 1


def _list(title: str, lines: list[str]) -> None:
    if lines:
        print(f"  {title}: {len(lines)}", *sorted(lines), sep="\n    ")


def _finding(record: Record) -> str:
    verdict = record.verdict
    found = f"{verdict.outcome} in {verdict.check}: look at {verdict.look_at}; got {verdict.got}"
    return f"{record.identity}\n        {found}"


def _judged(files: list[Path]) -> list[Judged]:
    known = equivalents()
    return [judge(*read(file), known) for file in files]


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="draw mutants of a backend and run the kit on each")
    run.add_argument("--backend", required=True, choices=TARGETS)
    run.add_argument("--count", type=int, default=150, help="how many are drawn (150)")
    run.add_argument("--seed", type=int, default=1, help="of the draw (1)")
    run.add_argument("--jobs", type=int, default=1, help="how many are run at a time (1)")
    run.add_argument("--only", default="", help="draw from the mutants whose identity holds this text")
    run.add_argument("--unreviewed", action="store_true", help="leave out those listed as equivalent")
    run.add_argument("--listed", action="store_true", help="draw from those listed as equivalent alone")
    run.add_argument("--out", type=Path, required=True, help="file of results, JSON lines")
    run.set_defaults(call=_run)
    judged = commands.add_parser("judge", help="list what needs review; status 1 if a bar is missed")
    judged.add_argument("results", type=Path, nargs="*", default=RESULTS)
    judged.set_defaults(call=_judge)
    options = parser.parse_args()
    return int(options.call(options))


if __name__ == "__main__":
    sys.exit(main())
