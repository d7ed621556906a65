"""Stage training: what shows only in processes of their own: threads, the seed of Python's hashes, settings.

Each of two processes makes the installed backend anew, one with one thread and one with two, and each with another
seed for the hashes of strings, which decides the order of a set. All checks look at the same two processes. The one
with one thread goes on to run out of memory while other checks run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charkit.testing.isolated.process import (
    THREADS,
    EndedError,
    IsolatedProcess,
    Workers,
    first_workers,
    runs_on_cpu,
    worker,
    workers,
)
from charkit.testing.isolated.processor_use import Activity, can_watch, watch
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch, require

#: By which factor two threads share the work more than one does. Threads beside those that compute, such as the one
#: that calls the framework, have a part in both, so what is reported for one and for two is judged by the ratio.
_MORE_USE = 1.4
#: And more than that many times as much as the numbers say is more threads than are reported (2 against 1: 1.9 to 2.1).
_TOO_MUCH_USE = 1.25
#: What shares the work where one thread computes, at most: it and those that call it and wait.
_ONE_THREAD = 1.4
#: Two threads that compute have equal parts and run at the same time; threads that hand on to each other don't.
_TWO_THREADS = 1.7
_TOGETHER = 0.4
MEMORY = "backend.py: compile() and numpy() turn the error for memory that runs out, and no other, into MemoryError"
#: How often it is looked again before the report of a number of threads is called untrue.
_LOOKS = 3


#: When a process may be changed, and where.
_MOMENTS = {
    "made": "backend.py: __init__",
    "used": "backend.py: differentiate() and compile(), and the parts that they call",
    "imported": "the module that imports the framework, or backend.py: __init__",
}


@dataclass(frozen=True)
class _Seen:
    """What a process reported, and what was seen of it; nothing was where the system lists no threads."""

    reported: int
    bits: dict[str, str]
    changed: dict[str, list[str]]  # when it was made, used, imported
    pools: dict[str, str]  # the threads of each library
    dtype: str  # of a floating-point array that a float32 backend copied in and out
    activity: Activity | None
    evaluation: Activity | None


@check("training")
def process_settings_are_unchanged(subject: Subject) -> None:
    """Settings of the process, random numbers, environment and current folder are as before the backend was made."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    both = _both(subject)
    for when, look_at in _MOMENTS.items():
        changed = sorted({name for seen in both for name in seen.changed[when]})
        require(
            not changed,
            expected="a process that is as it was before the backend was made and used",
            got=f"changed: {', '.join(changed)}",
            look_at=f"{look_at}: what belongs to the process is its user's; set it for a moment, and put it back",
        )


@check("training")
def user_defaults_do_not_matter(subject: Subject) -> None:
    """A float32 backend computes in float32 whatever default the user has set in the framework, such as float64."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    _, two = _both(subject)
    require(
        two.dtype == "float32",
        expected="float32 arrays where the user's own default in the framework is float64",
        got=f"{two.dtype} arrays",
        look_at="backend.py: tensor() names the type, and so does whatever makes an array of its own",
    )


@check("training")
def results_do_not_depend_on_the_hash_seed(subject: Subject) -> None:
    """Two processes with other seeds for Python's hashes compute the same bits: no sum runs over a set."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    first, second = _both(subject)
    if first.bits == second.bits:
        return
    # The threads were others too, and these may decide bits: so the same number again, with the other seed.
    process = subject.at_end(worker(subject, threads=1, hash_seed=2))
    try:
        again = process.report()["bits"]
    finally:
        subject.end(process)
    differing = [what for what in first.bits if first.bits[what] != again[what]]
    require(
        not differing,
        expected="the same bits whatever PYTHONHASHSEED is",
        got=f"other {', '.join(differing)} with PYTHONHASHSEED=2 than with 1",
        look_at="optimizer.py and backend.py: loops over a set of names; sort them, or go by the dictionary",
    )


@check("training")
def threads_are_reported_correctly(subject: Subject) -> None:
    """backend.threads is the number of threads that compute, whether one was asked for or two, in evaluation too."""
    if subject.factory is not None:
        return  # not a plugin: no other process can make it
    one, two = _both(subject)
    if one.activity is None or two.activity is None:
        return  # the system does not list threads, or the work is not the processor's
    require(
        not subject.kept("more threads", str),
        expected="threads that are reported as they are used",
        got=subject.kept("more threads", str),
        look_at=THREADS,
    )
    untrue = _untrue(one, two)
    for _ in range(_LOOKS - 1):
        if not untrue:
            return
        untrue = _untrue(*_look_again(subject))
    require(not untrue, expected="threads that are reported as they are used", got=untrue, look_at=THREADS)


def what_ran_out(subject: Subject) -> dict[str, str]:
    """What came of running out of memory in the first process, as ``exhausting.exhaust`` returns it.

    Nothing where the framework itself ends the process: there is no error then that could be translated.
    """
    _both(subject)
    both = first_workers(subject)
    try:
        report: dict[str, str] = both.one.report(MEMORY)
    except EndedError as ended:
        if ended.status >= 0:
            raise
        return {}
    finally:
        subject.end(both)
    return report


def _untrue(one: _Seen, two: _Seen) -> str:
    """What is wrong with the reported numbers, or nothing."""
    assert one.activity is not None
    assert two.activity is not None
    used, used_of_two = one.activity.threads, two.activity.threads
    ratio = used_of_two / used
    of_both = f"asked for 1 and 2 threads it reports {one.reported} and {two.reported}"
    seen = f"{of_both}, and {used:.1f} and {used_of_two:.1f} threads shared the work"
    if one.reported > two.reported:
        return seen
    if one.reported < two.reported and ratio < _MORE_USE:
        return f"{seen}, which is the same"
    if one.reported == two.reported and ratio > _MORE_USE:
        return f"{seen}, which is not the same"
    if ratio > _TOO_MUCH_USE * two.reported / one.reported:
        return f"{seen}, which is more"
    if one.reported > 1 and used < _ONE_THREAD:
        return f"asked for 1 thread it reports {one.reported}, and {used:.1f} did the work"
    return _several_for_one(one)


def _several_for_one(one: _Seen) -> str:
    """Says so where one thread is reported and several ran at once."""
    assert one.activity is not None
    assert one.evaluation is not None
    for activity, where in ((one.activity, ""), (one.evaluation, " in evaluation")):
        together = activity.threads > _TWO_THREADS and activity.overlap > _TOGETHER
        if one.reported == 1 and together:
            return f"asked for 1 thread it reports 1, and several ran at once {activity.overlap:.0%} of the time{where}"
    return ""


def _capped(one: _Seen, two: _Seen, process: IsolatedProcess) -> str:
    """What is wrong with the number of threads that is reported where there are fewer processors, or nothing.

    A library's pool whose number was that which is reported, for one thread and for two, has it for more, too.
    """
    process.send("more threads")
    came = process.report()
    for pool, count in came["pools"].items():
        follows = one.reported < two.reported and all(
            seen.pools.get(pool) == str(seen.reported) for seen in (one, two)
        )
        if follows and count != str(came["reported"]):
            said = f"asked for {came['asked']} threads it reports {came['reported']}"
            return f"{said}, and {pool.removeprefix('the threads of ')} has {count}"
    return ""


def _both(subject: Subject) -> tuple[_Seen, _Seen]:
    """What was seen of the two processes, for all checks."""
    return subject.kept("processes", lambda: _first_look(subject))


def _first_look(subject: Subject) -> tuple[_Seen, _Seen]:
    """Looks at the first two processes, ends the second, and has the first run out of memory where that is its own."""
    both = first_workers(subject)
    try:
        seen = _look(subject, both)
    except Mismatch:
        subject.end(both)
        raise
    subject.kept("more threads", lambda: _capped(*seen, both.two))
    if runs_on_cpu(subject):
        both.two.end()
        both.one.send("exhaust")
    else:
        subject.end(both)
    return seen


def _look_again(subject: Subject) -> tuple[_Seen, _Seen]:
    """Looks at two new processes, and ends them."""
    both = subject.at_end(workers(subject))
    try:
        return _look(subject, both)
    finally:
        subject.end(both)


def _look(subject: Subject, both: Workers) -> tuple[_Seen, _Seen]:
    """Reads the reports of both processes, and watches them work side by side."""
    reports = [process.report() for process in both]
    seen: list[Any] = [None, None]
    evaluation = None
    if can_watch() and "cpu" in subject.backend_class().devices():
        for process in both:
            process.send("train")
        seen = watch([process.pid for process in both])
        both.one.send("evaluate")
        (evaluation,) = watch([both.one.pid])
    one, two = (
        _Seen(
            report["threads"],
            report["bits"],
            report["changed"],
            report["pools"],
            report["dtype"],
            activity,
            evaluation,
        )
        for report, activity in zip(reports, seen, strict=True)
    )
    return one, two
