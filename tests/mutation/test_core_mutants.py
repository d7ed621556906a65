"""Mutants of the core: the tests of the mutant run, one survives where a test is missing, and results are judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mutation.core_judging import RESULTS, judge_module
from mutation.core_modules import MODULES
from mutation.core_report import section
from mutation.records import Draw, Outcome, Record, Verdict
from mutation.reviewed import CORE_EQUIVALENT, Equivalent, equivalents, unknown

_TESTS = Path(__file__).parents[1]
#: Runs named tests on one changed text of a module; without a change, on the module as it is.
_SCRIPT = """
import json, sys
from mutation.core_modules import Module
from mutation.core_running import run_mutants, run_unchanged
from mutation.mutants import Mutant
from mutation.processes import Limits

before, after, limit, tests = json.loads(sys.argv[1])
module = Module("weights.py", tuple(tests))
source = module.source()
if not before:
    print(run_unchanged(module, Limits(limit)).outcome)
    raise SystemExit
assert source.count(before) == 1, source.count(before)
mutant = Mutant("core", module.path, "", "", before, after, 1, source.replace(before, after))
run_mutants(module, [mutant], lambda record: print(record.verdict.outcome, record.verdict.check), Limits(limit))
"""
_SHAPES, _MISMATCH = (
    f"tests/core/test_weights.py::{name}"
    for name in ("test_names_and_shapes", "test_a_mismatch_is_told_in_words")
)


def run(before: str, after: str, *tests: str, limit: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs the script in a process that has not imported charkit."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    path = os.pathsep.join(filter(None, [str(_TESTS), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps([before, after, limit, tests])],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        env={**ours, "PYTHONPATH": path},
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("after", "test", "limit", "wanted"),
    [
        ("rows = 3 * model.lstm_size", _SHAPES, 120.0, f"caught {_SHAPES}"),
        # What no test that is run looks at survives.
        (
            "rows = 3 * model.lstm_size",
            "tests/core/test_randomness.py::test_the_numbers_are_pinned",
            120.0,
            "survived",
        ),
        ("__import__('os')._exit(0)", _SHAPES, 120.0, "crash"),
        ("while True: pass", _SHAPES, 8.0, "timeout"),
    ],
)
def test_what_becomes_of_a_mutant(after: str, test: str, limit: float, wanted: str) -> None:
    done = run("rows = 4 * model.lstm_size", after, test, limit=limit)
    assert done.stdout.strip() == wanted, done.stderr


def test_the_module_as_it_is_survives() -> None:
    done = run("", "", _SHAPES, _MISMATCH)
    assert done.stdout.strip() == "survived", done.stderr


@pytest.mark.parametrize("test", ["tests/core/test_none.py", "tests/core/test_weights.py::test_none"])
def test_tests_that_are_absent_stop_the_run(test: str) -> None:
    assert "the tests of weights.py do not pass on it as it is" in run("", "", test).stderr


def test_the_tests_of_every_module_are_there() -> None:
    for module in MODULES.values():
        assert module.source()
        for test in module.tests:
            file, _, name = test.partition("::")
            assert name.partition("[")[0] in (_TESTS.parent / file).read_text("utf-8"), test


def test_every_equivalent_mutant_is_one() -> None:
    identities = {mutant.identity for module in MODULES.values() for mutant in module.mutants()}
    # A mutant of a published draw stays reviewed where the code has been rewritten since.
    identities |= {
        json.loads(line).get("identity")
        for path in RESULTS.glob("*.jsonl")
        for line in path.read_text("utf-8").splitlines()
    }
    assert unknown(equivalents(CORE_EQUIVALENT), identities) == []


def _record(name: str, outcome: Outcome) -> Record:
    return Record(name, "weights.py", "", "names", "a", "b", Verdict(outcome, "", "", "", "", "", 1.0))


def test_survivors_are_sorted_by_what_they_mean() -> None:
    known = {name: Equivalent("same", "as it was") for name in ("same", "not the same")}
    records = [
        _record("killed", "caught"),
        _record("looped", "timeout"),
        _record("same", "survived"),
        _record("not the same", "caught"),
        _record("mended", "survived"),
        _record("alive", "survived"),
    ]
    again = [_record("mended", "caught"), _record("alive", "survived")]
    judged = judge_module("weights", Draw("core weights.py", 1, 6, 226, 1, 2.0), records, known, again)
    assert [record.identity for record in judged.survivors] == ["mended", "alive"]
    assert [record.identity for record in judged.mended] == ["mended"]
    assert [record.identity for record in judged.excused] == ["not the same"]
    assert (judged.drawn_score, judged.score) == (3 / 5, 4 / 5)
    page = section([judged], known)
    assert "| `weights.py` | 226 | 6 | 1 | 3 | 1 | 2 | 60.0% | 80.0% |" in page
    assert "no test yet:\n\n- `` alive ``" in page
    assert "- as it was\n  - `` same ``" in page
