"""Stage training: the reported number of threads is the number that compute, measured in isolated processes."""

from __future__ import annotations

from typing import Any

from charkit.testing.isolated.observations import (
    Observation,
    observations,
    observe_again,
    report_of_more_threads,
)
from charkit.testing.isolated.process import THREAD_VARIABLES, THREADS
from charkit.testing.isolated.processor_use import ThreadUse
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import BOUNDS, require

#: From this ratio on two threads share more of the work than one. Helper threads, such as the one that calls the
#: framework, take part in both, so the reported numbers are judged by the ratio. Where helpers do much of the work, as
#: in a framework that has not optimized it, a lower ratio is measured too: 1.36 with 2.0 and 2.8 threads.
_MORE_THREADS_RATIO = 1.4
#: A second computing thread raises the balance between threads by so much. With four other processes on two
#: processors, 0.35 to 1 were measured, and 0.25 at most where there is no second computing thread. One that does less
#: because it waits for a processor is ready to run nearly all the time.
_ADDED_BALANCE, _WAITING_OVERLAP = 0.25, 0.6
#: Beyond this many times the reported ratio, more threads work than are reported (2 against 1 measures 1.9 to 2.1).
_TOO_MANY_RATIO = 1.25
#: One computing thread, and those that call it and wait, measure at most this many threads.
_ONE_THREAD = 1.4
#: Two computing threads have equal parts, of which one may wait for a processor, and overlap; threads that hand work to
#: each other don't overlap, and those that help have smaller parts (0.2 on a busy machine).
_TWO_THREADS, _EQUAL_PARTS, _OVERLAP = 1.7, 0.3, 0.4
#: Threads are measured this often before the report is called untrue.
_MEASUREMENTS = 3


@check("training")
def threads_are_reported_correctly(subject: Subject) -> None:
    """backend.threads is the number of threads that compute, both for one requested thread and for two."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    one_thread, two_threads = observations(subject)
    if one_thread.training is None or two_threads.training is None:
        return  # the system does not list threads, or another device does the work
    wrong = _wrong_threads_above_processors(one_thread, two_threads, report_of_more_threads(subject))
    if not wrong:
        wrong = _wrong_threads(one_thread, two_threads)
        for _ in range(_MEASUREMENTS - 1):
            if not wrong:
                return
            wrong = _wrong_threads(*observe_again(subject))
    require(
        not wrong,
        expected="a backend that reports the number of threads that it uses",
        got=wrong,
        look_at=THREADS,
    )


@check("training")
def more_threads_compute_the_same(subject: Subject) -> None:
    """A training step with more threads than processors gives the same numbers as with two threads, up to rounding."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    report = report_of_more_threads(subject)
    bound = BOUNDS["float32"]["gradients"]
    wrong = {name: gap for name, gap in report["differences"].items() if gap > bound}
    require(
        not wrong,
        expected=f"the results of the step with two threads, within {bound:.0e} times each array's largest element",
        got=f"with {report['reported']} threads, off by "
        + ", ".join(f"{gap:.1e} ({name})" for name, gap in wrong.items()),
        look_at="backend.py: differentiate(), where a batch is divided between threads and the gradients of all parts "
        "are added up",
    )


def _wrong_threads(one: Observation, two: Observation) -> str:
    """What is wrong with the reported numbers of threads, or nothing."""
    assert one.training is not None
    assert two.training is not None
    used_by_one, used_by_two = one.training.threads, two.training.threads
    ratio = used_by_two / used_by_one
    reported = f"asked for 1 and 2 threads, it reports {one.reported} and {two.reported}"
    observed = f"{reported}, but {used_by_one:.1f} and {used_by_two:.1f} threads shared the work"
    if one.reported > two.reported:
        return observed
    is_same = _is_like(two.training, one.training) or _is_parallel(one.training)
    if one.reported < two.reported and ratio < _MORE_THREADS_RATIO and is_same:
        return f"{observed}, hardly more with two than with one"
    if one.reported == two.reported and ratio > _MORE_THREADS_RATIO:
        return f"{observed}, a different number each time"
    if ratio > _TOO_MANY_RATIO * two.reported / one.reported:
        return f"{observed}, which is more than it reports"
    if one.reported > 1 and used_by_one < _ONE_THREAD:
        return f"asked for 1 thread, it reports {one.reported}, but {used_by_one:.1f} threads did the work"
    return _parallel_single_thread(one) or _wrong_threads_of_others(one, two)


def _wrong_threads_of_others(one: Observation, two: Observation) -> str:
    """What is wrong with the numbers that further backends report in the two processes, or nothing."""
    assert one.training is not None
    others = {
        f"asked for 1 thread and then for {asked} in one process, it reports {one.reported} and": other
        for asked, other in one.others.items()
    }
    limited = f"with {THREAD_VARIABLES[0]} and similar variables set to 1"
    others |= {f"asked for {asked} {limited}, it reports": other for asked, other in two.others.items()}
    for start, (reported, use) in others.items():
        if use is not None and reported > one.reported and _is_like(use, one.training):
            did = (
                f"{use.threads:.1f} threads did the work, compared with {one.training.threads:.1f} when it was "
                "asked for 1"
            )
            return f"{start} {reported}, but {did}"
    return ""


def _is_like(use: ThreadUse, one: ThreadUse) -> bool:
    """Whether the work was divided between threads as it is with one."""
    return use.balance - one.balance < _ADDED_BALANCE and use.overlap < _WAITING_OVERLAP


def _is_parallel(use: ThreadUse) -> bool:
    """Whether several threads computed at once."""
    return use.threads > _TWO_THREADS and use.balance > _EQUAL_PARTS and use.overlap > _OVERLAP


def _parallel_single_thread(one: Observation) -> str:
    """Describes several threads that ran at once although one is reported, or nothing."""
    assert one.training is not None
    for where, use in {"during training": one.training, **one.elsewhere}.items():
        if one.reported == 1 and _is_parallel(use):
            return f"asked for 1 thread, it reports 1, but several ran at once {use.overlap:.0%} of the time {where}"
    return ""


def _wrong_threads_above_processors(one: Observation, two: Observation, report: dict[str, Any]) -> str:
    """What is wrong with the reported number if more threads are requested than there are processors, or nothing.

    A thread pool whose size is the reported number for one thread and for two must follow it here too.
    """
    for pool, count in report["thread_pools"].items():
        follows = one.reported < two.reported and all(
            observation.thread_pools.get(pool) == str(observation.reported) for observation in (one, two)
        )
        if follows and count != str(report["reported"]):
            reported = f"asked for {report['requested']} threads, it reports {report['reported']}"
            return f"{reported}, but {pool.removeprefix('the number of threads of ')} uses {count}"
    return ""
