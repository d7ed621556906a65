"""Writes the tables of README.md and docs/performance.md from the recorded results, or says where they differ.

python -m benchmarks tables             # after: python -m benchmarks training --save
python -m benchmarks tables --check     # exits with 1 if a table is not what the results give

A table stands between two comments: ``<!-- result: NAME -->`` and ``<!-- end of result -->``. NAME is that of a file
in ``benchmarks/results``; ``<!-- result: short -->`` is the short table of the README, and ``<!-- result: goals -->``
has the goals beside the results.
"""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from pathlib import Path

from benchmarks.goals import goals_table
from benchmarks.growth import growth_table
from benchmarks.results import FOLDER, Result, number, table
from charkit.errors import counted

ROOT = Path(__file__).parent.parent
PAGES = ("README.md", "docs/performance.md")
_PLACE = re.compile(
    r"(<!-- result: (?P<name>[\w.-]+) -->\n)(?P<table>.*?)(<!-- end of result -->)", re.DOTALL
)
#: The rows of the short table: training of these participants, at these sizes.
_SHORT_SIZES = ("2x128", "2x512")
#: Results of benchmarks that don't take ``--rounds``.
_WITHOUT_ROUNDS = ("text-memory",)


def written(text: str, folder: Path = FOLDER) -> str:
    """The page with its tables written anew. Raises ValueError for a result that is not recorded."""

    def replace(place: re.Match[str]) -> str:
        name = place["name"]
        if name == "goals":
            content = goals_table(partial(_load, folder=folder))
        else:
            content = _short(folder) if name == "short" else _whole(_load(name, folder))
        return f"{place[1]}\n{content}\n\n{place[4]}"

    return _PLACE.sub(replace, text)


def _load(name: str, folder: Path) -> Result:
    path = folder / f"{name}.json"
    if not path.is_file():
        raise ValueError(f"no result named {name!r} is recorded in {folder.name}/")
    return Result.load(path)


def _whole(result: Result) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    rounds = f" --rounds {len(result.participants[0].values)}" if result.name not in _WITHOUT_ROUNDS else ""
    content = growth_table(result) if result.name == "growth" else table(result)
    return (
        f"`{result.command}{rounds} --save`, {result.date}: {result.machine}; {counted(result.threads, 'thread')}; "
        f"{versions}.\n\n{content}"
    )


def _short(folder: Path) -> str:
    """Training speed of each participant at each size, with the ratio to its peer."""
    results = {size: _load(f"training-{size}", folder) for size in _SHORT_SIZES}
    first = results[_SHORT_SIZES[0]]
    settings = {size: f"{one.machine}; {one.threads} threads" for size, one in results.items()}
    rows = [
        "| characters/s in training | " + " | ".join(_SHORT_SIZES) + " |",
        "|---|" + "---|" * len(results),
    ]
    for one in first.participants:
        cells = []
        for result in results.values():
            found = result.participant(one.name)
            ratio = None if found is None else result.ratio(found)
            cells.append(
                "-"
                if found is None
                else number(found.median) + (f" ({ratio.median:.2f} times {found.peer})" if ratio else "")
            )
        rows.append(f"| {one.name} | " + " | ".join(cells) + " |")
    if len(set(settings.values())) == 1:
        where = settings[_SHORT_SIZES[0]]
    else:
        where = "; ".join(f"{size}: {setting}" for size, setting in settings.items())
    return "\n".join(rows) + f"\n\n{where}; medians of interleaved rounds."


def main() -> None:
    """Writes the tables, or checks them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if a table differs")
    options = parser.parse_args()
    differing, places = [], 0
    for page in PAGES:
        path = ROOT / page
        text = path.read_text("utf-8")
        try:
            new = written(text)
        except ValueError as error:
            raise SystemExit(f"{page}: {error}") from error
        places += len(_PLACE.findall(text))
        if new != text:
            differing.append(page)
            if not options.check:
                path.write_text(new, "utf-8")
    if not places:  # or a check of no table would pass for one of all
        print(f"no table of {', '.join(PAGES)} is written from results: none has a place for one")
    print(f"{'differ' if options.check else 'written'}: {', '.join(differing) or 'none'}")
    sys.exit(int(options.check and bool(differing)))


if __name__ == "__main__":
    main()
