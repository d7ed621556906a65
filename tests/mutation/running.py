"""Runs the kit on mutants, each in a process of its own that begins with the framework already imported.

The process that forks has started no threads and imported nothing of the backend. A mutant that takes too long or
too much memory is ended, with everything that it started.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from charkit.testing import all_checks
from mutation.judge import Judge
from mutation.mutant_process import PROGRESS, VERDICT, run_kit
from mutation.mutants import Mutant
from mutation.processes import OUTPUT, Ended, Limits
from mutation.records import Record, Verdict
from mutation.targets import Target

#: The texts of a finding are recorded up to this length.
_KEPT = 400
#: A frame in a function without a name, such as a lambda: file and line.
_FRAME = re.compile(r"(\S+\.py):(\d+) in <\w+>")
#: Where packages are installed.
_PACKAGES = re.compile(r"[^\s'\"]*[/\\]site-packages")


def run_unchanged(target: Target, limits: Limits) -> Verdict:
    """The kit on the backend as it is. Raises BrokenHarnessError unless everything passes."""
    return _judge(target).on_unchanged(limits)


def run_mutants(
    target: Target,
    mutants: Iterable[Mutant],
    on_record: Callable[[Record], None],
    limits: Limits,
    jobs: int = 1,
) -> None:
    """The kit on each mutant, ``jobs`` at a time; ``on_record`` gets each record as it comes."""
    _judge(target).on_mutants(mutants, on_record, limits, jobs)


def _judge(target: Target) -> Judge:
    def work(mutant: Mutant | None, folder: Path) -> None:
        target.write(folder, {} if mutant is None else {mutant.file: mutant.source})
        run_kit(target.name, folder)

    return Judge(f"the kit does not pass on {target.name}", work, _verdict)


def _verdict(folder: Path, ended: Ended) -> Verdict:
    written = folder / VERDICT
    if ended.how != "done" or not written.exists():
        return _unfinished(folder, ended)
    found = json.loads(written.read_text("utf-8"))
    if found is None:
        return Verdict("survived", "", "", "", "", "", ended.seconds)
    text = {key: _without_places(str(found[key]), folder)[:_KEPT] for key in ("expected", "got", "look_at")}
    text["look_at"] = _FRAME.sub(partial(_with_function, folder), text["look_at"])
    return Verdict("caught", found["stage"], found["name"], seconds=ended.seconds, **text)


def _without_places(text: str, folder: Path) -> str:
    """The text without where the mutant and the installed packages lie, which differs from machine to machine."""
    return _PACKAGES.sub("site-packages", text.replace(str(folder), ""))


def _with_function(folder: Path, frame: re.Match[str]) -> str:
    """A frame of a nameless function with the name of the one around it, which who reads file and line sees."""
    source = folder / frame[1].lstrip("/")
    if not source.is_file():
        return frame[0]
    around = [
        node.name
        for node in ast.walk(ast.parse(source.read_text("utf-8")))  # outer ones first
        if isinstance(node, ast.FunctionDef) and node.lineno <= int(frame[2]) <= (node.end_lineno or 0)
    ]
    return f"{frame[1]}:{frame[2]} in {around[-1]}" if around else frame[0]


def _unfinished(folder: Path, ended: Ended) -> Verdict:
    """The verdict on a process that did not come to one itself: the check that was running is the finding."""
    progress, output = folder / PROGRESS, folder / OUTPUT
    passed = len(progress.read_text().splitlines()) if progress.exists() else 0
    checks = all_checks()
    check = checks[min(passed, len(checks) - 1)]
    last_line = output.read_text("utf-8", "replace").splitlines()[-1:] if output.exists() else []
    outcome = "crash" if ended.how == "done" else ended.how
    return Verdict(outcome, check.stage, check.name, check.promise, "".join(last_line), "", ended.seconds)
