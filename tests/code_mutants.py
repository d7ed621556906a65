"""Mutation testing of the core: cosmic-ray changes a module in one place at a time, and its tests must notice.

    tox -e code-mutants -- --count 40 --seed 1

The mutants are drawn by a seed from all that cosmic-ray makes of a module, but for changes of annotations, which never
run. Everything happens in a copy of the tree. Writes the outcome of each to a JSON file, prints the survivors, and
ends with status 1 where a module's share of killed mutants is below the bound. Survivors that were looked at and change
nothing that can be observed are listed in ``tests/code_mutants.toml``; they are not counted.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shlex
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, TestOutcome

ROOT = Path(__file__).parent.parent
#: What is copied.
TREE = ("core", "cli", "formats", "comparison", "backends", "tests", "pyproject.toml", "README.md")
#: Each module, and the tests that are about it.
MODULES = {
    "text/batches.py": ("tests/text/test_batches.py",),
    "randomness.py": ("tests/core/test_randomness.py",),
    "weights.py": ("tests/core/test_weights.py",),
    "symbol_sampling.py": ("tests/core/test_sampling.py",),
    "runs/checkpoint.py": ("tests/runs", "tests/faults/test_run_contents.py"),
    "runs/atomic_files.py": ("tests/runs", "tests/faults/test_file_operations.py"),
}
BOUND = 0.85
#: A mutant that takes so many times as long as the unchanged tests is killed: it loops.
SLOWER = 5
LEAST_SECONDS = 60


def draw(module: str, count: int, random: Random) -> list[MutationSpec]:
    """Some of cosmic-ray's mutants of a module of the tree in the current directory, in the order of its lines."""
    path = Path("core/charkit") / module
    annotations = list(_annotations(ast.parse(path.read_text("utf-8"))))
    with use_db("mutants.sqlite") as database:
        init([path], database, {})
        items = list(database.work_items)
    found = [
        mutation
        for item in items
        for mutation in item.mutations
        if not any(start <= mutation.start_pos and mutation.end_pos <= end for start, end in annotations)
    ]
    drawn = found if len(found) <= count else random.sample(found, count)
    return sorted(drawn, key=lambda mutation: mutation.start_pos)


def _annotations(tree: ast.AST) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Where the annotations of a module begin and end: lines from 1 and columns from 0."""
    for node in ast.walk(tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(annotation, ast.expr) and annotation.end_lineno is not None:
                end = (annotation.end_lineno, annotation.end_col_offset or 0)
                yield (annotation.lineno, annotation.col_offset), end


def identity(module: str, diff: str) -> str:
    """The mutant by what it changes, so that a list of survivors holds when lines move."""
    changes = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    return f"{module}: " + " => ".join(" ".join(change[1:].split()) for change in changes)


def examine(module: str, count: int, seed: int) -> list[dict[str, Any]]:
    """The outcome of each drawn mutant of a module."""
    tests = [path for path in MODULES[module] if Path(path).exists()]
    command = shlex.join(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "no:cacheprovider",
            "--hypothesis-profile=ci",
            *tests,
        ]
    )
    started = os.times().elapsed
    if os.system(f"{command} > unchanged.log 2>&1"):  # noqa: S605 - the command is this file's own
        raise SystemExit(
            f"{module}: its tests fail on the unchanged code:\n{Path('unchanged.log').read_text()[-2000:]}"
        )
    limit = max(LEAST_SECONDS, SLOWER * (os.times().elapsed - started))
    outcomes = []
    for mutation in draw(module, count, Random(f"{seed} {module}")):
        result = mutate_and_test([mutation], command, limit)
        if result.diff:
            name = identity(module, result.diff)
            outcomes.append({"mutant": name, "killed": result.test_outcome != TestOutcome.SURVIVED})
            print("killed  " if outcomes[-1]["killed"] else "SURVIVED", name, flush=True)
    return outcomes


def judge(outcomes: Sequence[dict[str, Any]], equivalent: frozenset[str]) -> tuple[float, list[str]]:
    """The share of mutants that were killed, those left out that change nothing, and the survivors that remain."""
    counted = [outcome for outcome in outcomes if outcome["killed"] or outcome["mutant"] not in equivalent]
    survivors = [outcome["mutant"] for outcome in counted if not outcome["killed"]]
    return 1 - len(survivors) / max(1, len(counted)), survivors


def main(arguments: Sequence[str]) -> int:
    """Examines the modules in a copy of the tree, and judges them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=40, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--module", choices=MODULES, action="append", help="may be repeated; unset, all")
    parser.add_argument("--out", type=Path, default=Path("code-mutants.json"), help="where the outcomes go")
    options = parser.parse_args(arguments)
    out = options.out.resolve()
    reviewed = tomllib.loads((ROOT / "tests" / "code_mutants.toml").read_text("utf-8"))["equivalent"]
    equivalent = frozenset(entry["mutant"] for entry in reviewed)
    status, everything = 0, {}
    with tempfile.TemporaryDirectory(prefix="charkit-mutants-") as folder:
        for name in TREE:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, Path(folder) / name)
        os.chdir(folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(
            f"{folder}/{part}" for part in (*TREE[:4], "backends/numpy")
        )
        for module in options.module or MODULES:
            outcomes = everything[module] = examine(module, options.count, options.seed)
            share, survivors = judge(outcomes, equivalent)
            print(
                f"{module}: {share:.1%} of {len(outcomes)} killed; {len(survivors)} survived and were not looked at"
            )
            status = max(status, int(share < BOUND))
            out.write_text(
                json.dumps({"seed": options.seed, "modules": everything}, indent=1) + "\n", "utf-8"
            )
        os.chdir(ROOT)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
