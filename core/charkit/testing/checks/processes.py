"""Stage training: what shows only in processes of their own: threads, the seed of Python's hashes, settings.

Each of two processes makes the installed backend anew, one with one thread and one with two, and each with another
seed for the hashes of strings, which decides the order of a set. All checks look at the same two processes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from typing import Any, Self

from charkit.testing.judge import Mismatch, require
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.watching import Activity, can_watch, watch

_THREADS = (
    "backend.py: __init__ (or compile) sets the framework's threads, and self.threads to the number in use"
)
#: By which factor two threads share the work more than one does. Threads beside those that compute, such as the one
#: that calls the framework, have a part in both, so what is reported for one and for two is judged by the ratio.
_MORE_USE = 1.4
#: What shares the work where one thread computes, at most: it and those that call it and wait.
_ONE_THREAD = 1.4
#: Two threads that compute have equal parts and run at the same time; threads that hand on to each other don't.
_TWO_THREADS = 1.7
_TOGETHER = 0.4
#: How often it is looked again before the report of a number of threads is called untrue.
_LOOKS = 3
#: Longer than the slowest framework takes to load and to compile a step on a busy machine.
_PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class _Seen:
    """What a process reported, and what was seen of it; nothing was where the system lists no threads."""

    reported: int
    bits: dict[str, str]
    changed: list[str]
    activity: Activity | None
    evaluation: Activity | None


@check("training")
def bits_do_not_depend_on_hashes(subject: Subject) -> None:
    """Two processes with other seeds for Python's hashes compute the same bits: no sum runs over a set."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    first, second = _both(subject)
    if first.bits == second.bits:
        return
    # The threads were others too, and these may decide bits: so the same number again, with the other seed.
    with _Child(subject, threads=1, hash_seed=2) as child:
        again = child.report()["bits"]
    differing = [what for what in first.bits if first.bits[what] != again[what]]
    require(
        not differing,
        expected="the same bits whatever PYTHONHASHSEED is",
        got=f"other {', '.join(differing)} with PYTHONHASHSEED=2 than with 1",
        look_at="optimizer.py and backend.py: loops over a set of names; sort them, or go by the dictionary",
    )


@check("training")
def threads_are_those_in_use(subject: Subject) -> None:
    """backend.threads is the number of threads that compute, whether one was asked for or two, in evaluation too."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    one, two = _both(subject)
    if one.activity is None or two.activity is None:
        return  # the system does not list threads, or the work is not the processor's
    untrue = _untrue(one, two)
    for _ in range(_LOOKS - 1):
        if not untrue:
            return
        one, two = _look(subject)
        untrue = _untrue(one, two)
    require(not untrue, expected="threads that are reported as they are used", got=untrue, look_at=_THREADS)


@check("training")
def process_stays_as_it_was(subject: Subject) -> None:
    """Settings of the process, random numbers, environment and current folder are as before the backend was made."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    changed = sorted({name for seen in _both(subject) for name in seen.changed})
    require(
        not changed,
        expected="a process that is as it was before the backend was made and used",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: what belongs to the process is its user's; set it around each call, and back",
    )


def _untrue(one: _Seen, two: _Seen) -> str:
    """What is wrong with the reported numbers, or nothing."""
    assert one.activity is not None
    assert one.evaluation is not None
    assert two.activity is not None
    used, used_of_two = one.activity.threads, two.activity.threads
    ratio = used_of_two / used
    seen = f"{used:.1f} and {used_of_two:.1f} threads shared the work"
    reports = f"asked for 1 and 2 threads it reports {one.reported} and {two.reported}, and {seen}"
    if one.reported < two.reported and ratio < _MORE_USE:
        return f"{reports}, which is the same"
    if one.reported == two.reported and ratio > _MORE_USE:
        return f"{reports}, which is not the same"
    if one.reported > two.reported:
        return reports
    for activity, where in ((one.activity, ""), (one.evaluation, " in evaluation")):
        together = activity.threads > _TWO_THREADS and activity.overlap > _TOGETHER
        if one.reported == 1 and together:
            return f"asked for 1 thread it reports 1, and several ran at once {activity.overlap:.0%} of the time{where}"
    if one.reported > 1 and used < _ONE_THREAD:
        return f"asked for 1 thread it reports {one.reported}, and {used:.1f} did the work"
    return ""


def _both(subject: Subject) -> tuple[_Seen, _Seen]:
    """The two processes, run once for all checks."""
    return subject.kept("processes", lambda: _look(subject))


def _look(subject: Subject) -> tuple[_Seen, _Seen]:
    """Runs one process with one thread and one with two, side by side; reads their reports and watches them."""
    watched = can_watch() and _device(subject) == "cpu"
    with (
        _Child(subject, threads=1, hash_seed=1) as first,
        _Child(subject, threads=2, hash_seed=2) as second,
    ):
        reports = [child.report() for child in (first, second)]
        seen: list[Any] = [None, None]
        evaluation = None
        if watched:
            seen = watch((first.pid, second.pid))
            first.evaluate()
            (evaluation,) = watch((first.pid,))
    one, two = (
        _Seen(report["threads"], report["bits"], report["changed"], activity, evaluation)
        for report, activity in zip(reports, seen, strict=True)
    )
    return one, two


class _Child:
    """A process that reports and then works; ended with the context. One that hangs is ended before."""

    def __init__(self, subject: Subject, *, threads: int, hash_seed: int) -> None:
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see __exit__
        self._folder = tempfile.TemporaryDirectory(prefix="charkit-verify-")  # removed with the context too
        arguments = [subject.name, str(threads), self._folder.name, _device(subject)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "charkit.testing.child", *arguments],
            env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.pid = self._process.pid
        self._patience = threading.Timer(_PATIENCE_SECONDS, self._process.kill)
        self._patience.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._patience.cancel()
        self._process.kill()
        self._process.communicate()
        self._errors.close()
        self._folder.cleanup()

    def evaluate(self) -> None:
        """Has it evaluate from now on instead of training."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def report(self) -> dict[str, Any]:
        """The line that it writes. Raises Mismatch with its last words if it ends without one."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            words = (self._errors.read().strip().splitlines() or ["it said nothing"])[-1]
            raise Mismatch("a process of its own that makes the backend and trains", words, _THREADS)
        report: dict[str, Any] = json.loads(line)
        return report


def _device(subject: Subject) -> str:
    """The processor, where the backend has it: threads are those of the processor."""
    devices = subject.backend_class().devices()
    return "cpu" if "cpu" in devices else subject.device or devices[0]
