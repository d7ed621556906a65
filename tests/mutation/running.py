"""Runs the kit on mutants, each in a process of its own that begins with the framework already imported.

The process that forks has started no threads and imported nothing of the backend. A mutant that takes too long or
too much memory is ended, with everything that it started.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from charkit.testing import all_checks
from mutation.mutant_process import OUTPUT, PROGRESS, VERDICT, run_kit
from mutation.mutants import Mutant
from mutation.records import Outcome, Record, Verdict
from mutation.targets import Target

_POLL_SECONDS = 0.05
#: The texts of a finding are recorded up to this length.
_KEPT = 400
#: A frame in a function without a name, such as a lambda: file and line.
_FRAME = re.compile(r"(\S+\.py):(\d+) in <\w+>")


@dataclass(frozen=True)
class Limits:
    """After which a mutant is ended."""

    seconds: float
    memory_bytes: int = 4 << 30


class BrokenHarnessError(Exception):
    """The kit does not pass on the unchanged backend, so mutants can't be judged."""


@dataclass
class _Running:
    mutant: Mutant | None  # None: the backend as it is
    folder: Path
    process: int
    started: float


def run_unchanged(target: Target, limits: Limits) -> Verdict:
    """The kit on the backend as it is. Raises BrokenHarnessError unless everything passes."""
    verdicts: list[Verdict] = []
    _run(target, [None], limits, 1, lambda _, verdict: verdicts.append(verdict))
    if verdicts[0].outcome != "survived":
        raise BrokenHarnessError(f"the kit does not pass on {target.name} as it is: {verdicts[0]}")
    return verdicts[0]


def run_mutants(
    target: Target,
    mutants: Iterable[Mutant],
    on_record: Callable[[Record], None],
    limits: Limits,
    jobs: int = 1,
) -> None:
    """The kit on each mutant, ``jobs`` at a time; ``on_record`` gets each record as it comes."""

    def on_verdict(mutant: Mutant | None, verdict: Verdict) -> None:
        assert mutant is not None
        on_record(
            Record(
                mutant.identity,
                mutant.file,
                mutant.function,
                mutant.rule,
                mutant.before,
                mutant.after,
                verdict,
            )
        )

    _run(target, mutants, limits, jobs, on_verdict)


def _run(
    target: Target,
    mutants: Iterable[Mutant | None],
    limits: Limits,
    jobs: int,
    on_verdict: Callable[[Mutant | None, Verdict], None],
) -> None:
    waiting, running = list(mutants)[::-1], list[_Running]()
    with tempfile.TemporaryDirectory(prefix="charkit-mutants-") as scratch:
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(_start(target, waiting.pop(), Path(scratch)))
                time.sleep(_POLL_SECONDS)
                for one in list(running):
                    verdict = _poll(one, limits)
                    if verdict is not None:
                        running.remove(one)
                        shutil.rmtree(one.folder)
                        on_verdict(one.mutant, verdict)
        finally:
            for one in running:
                _end(one)


def _start(target: Target, mutant: Mutant | None, scratch: Path) -> _Running:
    folder = Path(tempfile.mkdtemp(dir=scratch))
    target.write(folder, {} if mutant is None else {mutant.file: mutant.source})
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process == 0:
        run_kit(target.name, folder)
    return _Running(mutant, folder, process, time.monotonic())


def _poll(one: _Running, limits: Limits) -> Verdict | None:
    """The verdict on a process, or None while it runs."""
    ended, status = os.waitpid(one.process, os.WNOHANG)
    seconds = time.monotonic() - one.started
    if ended:
        _kill_group(one.process)  # what it may have left behind
        return _verdict(one, status, seconds)
    outcome = _broken_limit(one, seconds, limits)
    if outcome is None:
        return None
    _end(one)
    return _ended(one, outcome, seconds)


def _broken_limit(one: _Running, seconds: float, limits: Limits) -> Outcome | None:
    if seconds > limits.seconds:
        return "timeout"
    return "memory" if _memory_bytes(one.process) > limits.memory_bytes else None


def _verdict(one: _Running, status: int, seconds: float) -> Verdict:
    written = one.folder / VERDICT
    if status != 0 or not written.exists():
        return _ended(one, "crash", seconds)
    found = json.loads(written.read_text("utf-8"))
    if found is None:
        return Verdict("survived", "", "", "", "", "", seconds)
    text = {
        key: str(found[key]).replace(str(one.folder), "")[:_KEPT] for key in ("expected", "got", "look_at")
    }
    text["look_at"] = _FRAME.sub(partial(_with_function, one.folder), text["look_at"])
    return Verdict("caught", found["stage"], found["name"], seconds=seconds, **text)


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


def _ended(one: _Running, outcome: Outcome, seconds: float) -> Verdict:
    """The verdict on a process that did not come to one itself: the check that was running is the finding."""
    progress, output = one.folder / PROGRESS, one.folder / OUTPUT
    passed = len(progress.read_text().splitlines()) if progress.exists() else 0
    checks = all_checks()
    check = checks[min(passed, len(checks) - 1)]
    last_line = output.read_text("utf-8", "replace").splitlines()[-1:] if output.exists() else []
    return Verdict(outcome, check.stage, check.name, check.promise, "".join(last_line), "", seconds)


def _end(one: _Running) -> None:
    _kill_group(one.process)
    os.waitpid(one.process, 0)


def _kill_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        return


def _memory_bytes(process: int) -> int:
    """The memory of the process, without that of processes which it has started; 0 where there is no /proc."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
