"""Runs the tests of a core module on its mutants, each in a process of its own that begins with pytest imported.

The mutant is in a copy of the core that is found before the installed one, also by the processes that tests start.
A mutant is killed if a test fails, or its process dies or exceeds a limit.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path

import pytest

from mutation.core_modules import ROOT, Module
from mutation.judge import Judge
from mutation.mutants import Mutant
from mutation.processes import OUTPUT, BrokenHarnessError, Ended, Limits
from mutation.records import Outcome, Record, Verdict

#: The file that names the first test that failed, and that the process writes once its tests have passed or failed.
_FAILED = "failed"
#: The text of an error is recorded up to this length.
_KEPT = 200
#: Imported before any process is forked: they take longer than most tests.
_PRELOADED = ("hypothesis", "numpy", "pydantic", "threadpoolctl")
#: What needs a framework is not a test of the core.
_MARKED = "not (torch or tensorflow or jax or onnx or ray or remote or together or trackers)"


def run_unchanged(module: Module, limits: Limits) -> Verdict:
    """The tests on the module as it is. Raises BrokenHarnessError unless there are some and all pass."""
    return _judge(module).on_unchanged(limits)


def run_mutants(
    module: Module,
    mutants: Iterable[Mutant],
    on_record: Callable[[Record], None],
    limits: Limits,
    jobs: int = 1,
) -> None:
    """The tests on each mutant, ``jobs`` at a time; ``on_record`` gets each record as it comes."""
    _judge(module).on_mutants(mutants, on_record, limits, jobs)


def _judge(module: Module) -> Judge:
    for name in _PRELOADED:
        importlib.import_module(name)

    def work(mutant: Mutant | None, folder: Path) -> None:
        module.write(folder / "core", None if mutant is None else mutant.source)
        _run_tests(module.tests, folder)

    return Judge(f"the tests of {module.path} do not pass on it", work, _verdict)


class _FirstFailure:
    """A plugin of pytest that keeps the first test that failed."""

    name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.name = self.name or report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.name = self.name or report.nodeid


def _run_tests(tests: Iterable[str], folder: Path) -> None:
    """Runs the tests until one fails, and writes its name, or nothing if all pass."""
    core = folder / "core"
    sys.path.insert(0, str(core))
    sys.dont_write_bytecode = True
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(core), os.environ.get("PYTHONPATH")]))
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    os.chdir(ROOT)
    found = find_spec("charkit")
    if "charkit" in sys.modules or found is None or not str(found.origin).startswith(str(core)):
        raise BrokenHarnessError(f"the tests would run another charkit than the mutant: {found}")
    first = _FirstFailure()
    options = [
        "-x",
        "-q",
        "-p",
        "no:cacheprovider",
        "--hypothesis-profile=ci",
        f"--basetemp={folder / 'tests'}",
    ]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # of what was imported before the fork
    status = pytest.main([*options, "-m", _MARKED, *tests], plugins=[first])
    failed = "" if status == pytest.ExitCode.OK else first.name or f"pytest ended with status {int(status)}"
    (folder / _FAILED).write_text(failed, "utf-8")


def _verdict(folder: Path, ended: Ended) -> Verdict:
    failed = folder / _FAILED
    test = failed.read_text("utf-8") if failed.exists() else ""
    outcome: Outcome
    if ended.how != "done":
        outcome = ended.how
    elif not failed.exists():  # such as that pytest itself ended the process
        outcome = "crash"
    else:
        outcome = "caught" if test else "survived"
    got = "" if outcome == "survived" else _first_error(folder / OUTPUT).replace(str(folder), "")
    return Verdict(outcome, "", test, "", got, "", ended.seconds)


def _first_error(output: Path) -> str:
    """The line that pytest marks as the error, or the last one."""
    lines = output.read_text("utf-8", "replace").splitlines()
    errors = [line.removeprefix("E").strip() for line in lines if line.startswith("E  ")]
    return next(iter(errors or lines[-1:]), "")[:_KEPT]
