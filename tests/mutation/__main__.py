"""Command line: draws mutants and runs the kit on them, or writes the report on what was found.

python -m mutation run --backend numpy --count 150 --seed 1 --out numpy.jsonl
python -m mutation report numpy.jsonl torch.jsonl --out docs/mutation.md
"""

from __future__ import annotations

import argparse
from pathlib import Path

from charkit.testing import all_checks
from mutation.drawing import all_mutants, draw
from mutation.records import Draw, Record, Writer
from mutation.running import run_mutants, run_unchanged
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
    unchanged = run_unchanged(target, _MOST_SECONDS).seconds
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

    run_mutants(
        target, drawn, hear, jobs=options.jobs, limit_seconds=max(_LEAST_SECONDS, _PATIENCE * unchanged)
    )


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
    options = parser.parse_args()
    options.call(options)


if __name__ == "__main__":
    main()
