"""Stage training: what shows only in isolated processes, such as threads, the hash seed and process settings.

Two processes create the installed backend anew, with one thread and with two, and with different seeds for the
hashes of strings, which decide the order of a set. All checks share them. The process with one thread then exhausts
its memory while other checks run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charkit.testing.isolated.process import (
    THREADS,
    ProcessEndedError,
    TrainingProcess,
    TrainingProcesses,
    runs_on_cpu,
    shared_training_processes,
    start_training_processes,
)
from charkit.testing.isolated.processor_use import ThreadUse, can_measure_threads, measure_threads
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch, require

#: From this ratio on two threads share more of the work than one. Helper threads, such as the one that calls the
#: framework, take part in both, so the reported numbers are judged by the ratio.
_MORE_THREADS_RATIO = 1.4
#: Beyond this many times the reported ratio, more threads work than are reported (2 against 1 measures 1.9 to 2.1).
_TOO_MANY_RATIO = 1.25
#: One computing thread, and those that call it and wait, measure at most this many threads.
_ONE_THREAD = 1.4
#: Two computing threads have equal parts and overlap; threads that hand work to each other don't.
_TWO_THREADS = 1.7
_OVERLAP = 0.4
MEMORY = "backend.py: compile() and numpy() turn the framework's out-of-memory error, and no other, into MemoryError"
#: Threads are measured this often before the report is called untrue.
_MEASUREMENTS = 3


#: When a process may be changed, and where to look.
_WHEN_CHANGED = {
    "created": "backend.py: __init__",
    "used": "backend.py: differentiate() and compile(), and the parts that they call",
    "imported": "the module that imports the framework, or backend.py: __init__",
}


@dataclass(frozen=True)
class _Observation:
    """What a process reported, and what was measured of it: None if the system lists no threads."""

    reported: int
    digests: dict[str, str]
    changed: dict[str, list[str]]  # by the keys of _WHEN_CHANGED
    thread_pools: dict[str, str]  # threads by library
    dtype: str  # of a floating-point array copied into and out of a float32 backend
    training: ThreadUse | None
    evaluation: ThreadUse | None
    evaluation_of_few: ThreadUse | None


@check("training")
def process_settings_are_unchanged(subject: Subject) -> None:
    """Creating and using the backend changes no process setting, random state, environment variable or file."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    observations = _observations(subject)
    for when, look_at in _WHEN_CHANGED.items():
        changed = sorted({name for observation in observations for name in observation.changed[when]})
        require(
            not changed,
            expected="the settings of the process as they were before the backend was created and used",
            got=f"changed: {', '.join(changed)}",
            look_at=f"{look_at}: the process belongs to the user; restore whatever is set temporarily",
        )


@check("training")
def user_defaults_do_not_matter(subject: Subject) -> None:
    """The user's default floating-point type in the framework changes nothing: every array has the backend's."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    _, two_threads = _observations(subject)
    require(
        two_threads.dtype == "float32",
        expected="float32 arrays where the user's default in the framework is float64",
        got=f"{two_threads.dtype} arrays",
        look_at="backend.py: tensor(), and all code that creates arrays, names the dtype",
    )


@check("training")
def results_do_not_depend_on_the_hash_seed(subject: Subject) -> None:
    """Two processes with different Python hash seeds compute the same bits: no sum iterates over a set."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    first, second = _observations(subject)
    if first.digests == second.digests:
        return
    # The numbers of threads differed too, and may decide bits: repeat with the same number and the other seed.
    process = subject.end_later(TrainingProcess(subject, threads=1, hash_seed=2))
    try:
        repeated = process.report()["digests"]
    finally:
        subject.end(process)
    differing = [name for name in first.digests if first.digests[name] != repeated[name]]
    require(
        not differing,
        expected="the same bits for every PYTHONHASHSEED",
        got=f"different {', '.join(differing)} with PYTHONHASHSEED=2 than with 1",
        look_at="optimizer.py and backend.py: loops over a set of names; sort them, or iterate over the dictionary",
    )


@check("training")
def threads_are_reported_correctly(subject: Subject) -> None:
    """backend.threads is the number of threads that compute, both for one requested thread and for two."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    one_thread, two_threads = _observations(subject)
    if one_thread.training is None or two_threads.training is None:
        return  # the system does not list threads, or another device does the work
    above_processors = _threads_above_processors(subject)
    require(
        not above_processors,
        expected="a reported number of threads that matches their use",
        got=above_processors,
        look_at=THREADS,
    )
    wrong = _wrong_threads(one_thread, two_threads)
    for _ in range(_MEASUREMENTS - 1):
        if not wrong:
            return
        wrong = _wrong_threads(*_observe_again(subject))
    require(
        not wrong, expected="a reported number of threads that matches their use", got=wrong, look_at=THREADS
    )


def memory_exhaustion_report(subject: Subject) -> dict[str, Any]:
    """What ``exhaust_memory`` returned in the first process, which ends.

    Empty if the framework itself ended the process: no error could have been translated then.
    """
    _observations(subject)
    processes = shared_training_processes(subject)
    try:
        report: dict[str, Any] = processes.one_thread.report(MEMORY)
    except ProcessEndedError as ended:
        if ended.status >= 0:
            raise
        return {}
    finally:
        subject.end(processes)
    return report


def _wrong_threads(one: _Observation, two: _Observation) -> str:
    """What is wrong with the reported numbers of threads, or nothing."""
    assert one.training is not None
    assert two.training is not None
    used_by_one, used_by_two = one.training.threads, two.training.threads
    ratio = used_by_two / used_by_one
    reported = f"asked for 1 and 2 threads, it reports {one.reported} and {two.reported}"
    observed = f"{reported}, and {used_by_one:.1f} and {used_by_two:.1f} threads shared the work"
    if one.reported > two.reported:
        return observed
    if one.reported < two.reported and ratio < _MORE_THREADS_RATIO:
        return f"{observed}, about the same number both times"
    if one.reported == two.reported and ratio > _MORE_THREADS_RATIO:
        return f"{observed}, a different number each time"
    if ratio > _TOO_MANY_RATIO * two.reported / one.reported:
        return f"{observed}, which is more than it reports"
    if one.reported > 1 and used_by_one < _ONE_THREAD:
        return f"asked for 1 thread, it reports {one.reported}, and {used_by_one:.1f} did the work"
    return _parallel_single_thread(one)


def _parallel_single_thread(one: _Observation) -> str:
    """Describes several threads that ran at once although one is reported, or nothing."""
    assert one.training is not None
    assert one.evaluation is not None
    assert one.evaluation_of_few is not None
    for use, where in (
        (one.training, ""),
        (one.evaluation, " in evaluation"),
        (one.evaluation_of_few, " in the evaluation of four sequences"),
    ):
        is_parallel = use.threads > _TWO_THREADS and use.overlap > _OVERLAP
        if one.reported == 1 and is_parallel:
            return f"asked for 1 thread, it reports 1, and several ran at once {use.overlap:.0%} of the time{where}"
    return ""


def _wrong_threads_above_processors(one: _Observation, two: _Observation, process: TrainingProcess) -> str:
    """What is wrong with the reported number if more threads are requested than there are processors, or nothing.

    A thread pool whose size is the reported number for one thread and for two must follow it here too.
    """
    process.send("more threads")
    report = process.report()
    for pool, count in report["thread_pools"].items():
        follows = one.reported < two.reported and all(
            observation.thread_pools.get(pool) == str(observation.reported) for observation in (one, two)
        )
        if follows and count != str(report["reported"]):
            reported = f"asked for {report['requested']} threads, it reports {report['reported']}"
            return f"{reported}, and {pool.removeprefix('the threads of ')} has {count}"
    return ""


def _observations(subject: Subject) -> tuple[_Observation, _Observation]:
    """The observations of the processes with one thread and with two, shared by all checks."""
    processes = shared_training_processes(subject)
    return subject.cached(("observations", processes), lambda: _observe_first(subject, processes))


def _threads_above_processors(subject: Subject) -> str:
    """What ``_observe_first`` found wrong with more threads than processors, or nothing."""
    return subject.cached(("threads above processors", shared_training_processes(subject)), str)


def _observe_first(subject: Subject, processes: TrainingProcesses) -> tuple[_Observation, _Observation]:
    """Observes the shared processes, ends the second, and has the first exhaust its memory if it uses its own.

    Another device's memory is not exhausted: then both end, and stay the shared ones.
    """
    try:
        observations = _observe(subject, processes)
    except Mismatch:
        subject.end(processes)
        raise
    subject.cached(
        ("threads above processors", processes),
        lambda: _wrong_threads_above_processors(*observations, processes.two_threads),
    )
    if runs_on_cpu(subject):
        processes.two_threads.end()
        processes.one_thread.send("exhaust memory")
    else:
        processes.end()
    return observations


def _observe_again(subject: Subject) -> tuple[_Observation, _Observation]:
    """Observes two new processes, and ends them."""
    processes = subject.end_later(start_training_processes(subject))
    try:
        return _observe(subject, processes)
    finally:
        subject.end(processes)


def _observe(subject: Subject, processes: TrainingProcesses) -> tuple[_Observation, _Observation]:
    """Reads the reports of both processes, and measures them at work side by side."""
    reports = [process.report() for process in processes]
    uses: list[Any] = [None, None]
    evaluation = evaluation_of_few = None
    if can_measure_threads() and "cpu" in subject.backend_class().devices():
        for process in processes:
            process.send("train")
        uses = measure_threads([process.pid for process in processes])
        processes.one_thread.send("evaluate")
        (evaluation,) = measure_threads([processes.one_thread.pid])
        processes.one_thread.send("evaluate few")
        (evaluation_of_few,) = measure_threads([processes.one_thread.pid])
    one_thread, two_threads = (
        _Observation(
            report["threads"],
            report["digests"],
            report["changed"],
            report["thread_pools"],
            report["dtype"],
            training,
            evaluation,
            evaluation_of_few,
        )
        for report, training in zip(reports, uses, strict=True)
    )
    return one_thread, two_threads
