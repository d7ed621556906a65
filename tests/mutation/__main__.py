"""Command line: draws mutants and runs the kit on them, or writes the report on what was found.

python -m mutation run --backend numpy --count 150 --seed 1 --out numpy.jsonl
python -m mutation report numpy.jsonl torch.jsonl --out docs/mutation.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from charkit.testing import all_checks
from mutation.drawing import all_mutants, draw
from mutation.judging import Judged, judge
from mutation.records import Draw, Record, Writer, read
from mutation.report import page
from mutation.reviewed import equivalents, named
from mutation.running import Limits, run_mutants, run_unchanged
from mutation.targets import TARGETS

#: A mutant is ended after this many times what the kit takes on the backend as it is, but not before a minute.
_PATIENCE = 4.0
_LEAST_SECONDS = 60.0
_MOST_SECONDS = 900.0


def _run(options: argparse.Namespace) -> None:
    target = TARGETS[options.backend]
    mutants = all_mutants(target)
    drawn = [one for one in mutants if options.only in one.identity] if options.only else mutants
    drawn = draw(drawn, options.seed, options.count)
    target.prepare()
    checks = len(all_checks())
    unchanged = run_unchanged(target, Limits(_MOST_SECONDS)).seconds
    print(
        f"{target.name}: {len(drawn)} of {len(mutants)} mutants; unchanged, the kit takes {unchanged:.1f} s",
        flush=True,
    )
    draft = Draw(target.name, options.seed, len(drawn), len(mutants), checks, round(unchanged, 1))
    writer = Writer(options.out, draft)

    def hear(record: Record) -> None:
        writer.add(record)
        verdict = record.verdict
        print(
            f"{verdict.outcome:9}{verdict.seconds:6.1f} s  {verdict.check or '-'}  {record.identity}",
            flush=True,
        )

    run_mutants(target, drawn, hear, Limits(max(_LEAST_SECONDS, _PATIENCE * unchanged)), options.jobs)


def _show(options: argparse.Namespace) -> None:
    rights = named()
    for run in _judged(options.results):
        print(f"{run.draw.backend}: {run.score:.1%} caught, {run.pointing:.1%} of the findings point there")
        _list("survived, and no reason is given", [record.identity for record in run.survivors])
        _list("the finding points elsewhere", [_finding(record) for record in run.elsewhere])
        names = {(record.identity, name) for record, name in run.names}
        _list("named, and not reviewed", [f"{name}: {identity}" for identity, name in names - rights.keys()])
        wrong = {pair for pair in names if rights.get(pair) is False}
        _list("named wrongly", [f"{name}: {identity}" for identity, name in wrong])


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


def _report(options: argparse.Namespace) -> None:
    options.out.write_text(page(_judged(options.results), equivalents()), "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__.splitlines()[0] if __doc__ else "")
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="draw mutants of a backend and run the kit on each")
    run.add_argument("--backend", required=True, choices=TARGETS)
    run.add_argument("--count", type=int, default=150, help="how many are drawn (150)")
    run.add_argument("--seed", type=int, default=1, help="of the draw (1)")
    run.add_argument("--jobs", type=int, default=1, help="how many are run at a time (1)")
    run.add_argument("--only", default="", help="draw from the mutants whose identity holds this text")
    run.add_argument("--out", type=Path, required=True, help="file of results, JSON lines")
    run.set_defaults(call=_run)
    show = commands.add_parser("show", help="list what needs a look: survivors, findings, names")
    show.add_argument("results", type=Path, nargs="+")
    show.set_defaults(call=_show)
    report = commands.add_parser("report", help="write the page of the documentation")
    report.add_argument("results", type=Path, nargs="+")
    report.add_argument("--out", type=Path, required=True)
    report.set_defaults(call=_report)
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
