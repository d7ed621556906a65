"""What two isolated processes show of a backend: their reports, and how many threads work in them.

The processes create the installed backend anew, with one thread and with two, and with different seeds for the
hashes of strings, which decide the order of a set. All checks share them. The process with one thread then exhausts
its memory while other checks run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from charkit.testing.isolated.actions import LAST_CALL_FAILED, MEASURED
from charkit.testing.isolated.process import (
    ProcessEndedError,
    TrainingProcess,
    TrainingProcesses,
    runs_on_cpu,
    shared_training_processes,
    start_training_processes,
)
from charkit.testing.isolated.processor_use import (
    ThreadUse,
    can_measure_threads,
    measure_settled_threads,
    measure_threads,
)
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch

MEMORY = (
    "backend.py: tensor(), compile() and numpy() turn the framework's out-of-memory error, and no other, into "
    "MemoryError"
)


#: What the second process is asked for before it ends. More threads than processors come last: those may stay, and
#: make everything after them slow.
_LAST_REQUESTS = ("user defaults", "more threads", "lasting threads")

#: What the first process is asked for before it ends. Libraries may end it in the second, for want of memory.
_MEMORY_REQUESTS = ("exhaust memory", "repeat exhausted calls")

#: The number of threads that a further backend reports, and the use if it was measured.
OtherUse = tuple[int, ThreadUse | None]


@dataclass(frozen=True)
class Observation:
    """What a process reported, and what was measured of it: None if the system lists no threads."""

    reported: int
    digests: dict[str, str]
    changed: dict[str, list[str]]  # by the keys of _WHEN_CHANGED
    thread_pools: dict[str, str]  # threads by library
    versions: dict[str, str]
    dtypes: dict[str, str]  # of what a float32 network returns after a float64 one
    dtype: str  # of a floating-point array copied into and out of a float32 backend
    training: ThreadUse | None = None
    #: Of the process with one thread at other work, by the values of ``MEASURED``.
    elsewhere: dict[str, ThreadUse] = field(default_factory=dict)
    #: Of further backends in the process, by what was asked for.
    others: dict[str, OtherUse] = field(default_factory=dict)


def observations(subject: Subject) -> tuple[Observation, Observation]:
    """The observations of the processes with one thread and with two, shared by all checks."""
    processes = shared_training_processes(subject)
    return subject.cached(("observations", processes), lambda: _observe_first(subject, processes))


def report_of_more_threads(subject: Subject) -> dict[str, Any]:
    """What the second process reported of a backend with more threads than there are processors."""
    return _last_report(subject, "more threads")


def report_of_user_defaults(subject: Subject) -> dict[str, str]:
    """What went wrong in the second process under each default that a user may have set; mostly empty."""
    return _last_report(subject, "user defaults")


def lasting_threads(subject: Subject) -> list[str]:
    """The threads of the second process that would keep it alive after its last line."""
    names: list[str] = _last_report(subject, "lasting threads")["names"]
    return names


def _last_report(subject: Subject, request: str) -> dict[str, Any]:
    observations(subject)
    reports: dict[str, Any] = subject.cached(("last reports", shared_training_processes(subject)), dict)
    report: dict[str, Any] = reports[request]
    return report


def _observe_first(subject: Subject, processes: TrainingProcesses) -> tuple[Observation, Observation]:
    """Observes the shared processes, lets the second end, and has the first exhaust its memory if it uses its own.

    Another device's memory is not exhausted: then both end. They stay the shared ones.
    """
    try:
        observed = _observe(subject, processes)
        reports = {request: processes.two_threads.report() for request in _LAST_REQUESTS}
    except Mismatch:
        subject.end(processes)
        raise
    subject.cached(("last reports", processes), lambda: reports)
    processes.two_threads.close()
    if runs_on_cpu(subject):
        for request in _MEMORY_REQUESTS:
            processes.one_thread.send(request)
    else:
        processes.one_thread.end()
    return observed


def ends_by_itself(subject: Subject, timeout_seconds: float) -> bool:
    """Whether the second process has ended within this time, once nothing was left to do."""
    observations(subject)
    return shared_training_processes(subject).two_threads.has_ended(timeout_seconds)


def error_of_the_last_call(subject: Subject, timeout_seconds: float) -> str:
    """What the second process raised when a thread trained after the main thread had ended, or nothing.

    Nothing is known if the process does not end within this time.
    """
    process = shared_training_processes(subject).two_threads
    failed = ends_by_itself(subject, timeout_seconds) and process.status == LAST_CALL_FAILED
    return process.last_line() if failed else ""


def observe_again(subject: Subject) -> tuple[Observation, Observation]:
    """Observes two new processes, and ends them."""
    processes = subject.end_later(start_training_processes(subject))
    try:
        return _observe(subject, processes)
    finally:
        subject.end(processes)


def _observe(subject: Subject, processes: TrainingProcesses) -> tuple[Observation, Observation]:
    """Reads the reports of both processes, and measures them at work."""
    one_thread, two_threads = (_observation(process.report()) for process in processes)
    if not can_measure_threads() or "cpu" not in subject.backend_class().devices():
        _send_last_requests(processes)
        return one_thread, two_threads
    for process in processes:
        process.send("train")
    one_training, two_training = measure_threads([process.pid for process in processes])
    processes.two_threads.send("no particular number of threads")  # created while the other is measured
    elsewhere: dict[str, ThreadUse] = {}
    for request, where in MEASURED.items():
        processes.one_thread.send(request)
        elsewhere[where] = measure_settled_threads(processes.one_thread.pid)
    processes.one_thread.send("rest")
    others_of_two = {"no particular number of threads": _measure_other(processes.two_threads)}
    _send_last_requests(processes)
    others_of_one: dict[str, OtherUse] = {}
    for asked in ("no particular number of threads", "two threads"):
        processes.one_thread.send(asked)
        others_of_one[asked] = _measure_other(processes.one_thread, unless=one_thread.reported)
    processes.one_thread.send("rest")
    return (
        replace(one_thread, training=one_training, elsewhere=elsewhere, others=others_of_one),
        replace(two_threads, training=two_training, others=others_of_two),
    )


def _observation(report: dict[str, Any]) -> Observation:
    """What a process reported, without measurements."""
    reported = ("threads", "digests", "changed", "thread_pools", "versions", "dtypes", "dtype")
    return Observation(*(report[name] for name in reported))


def _send_last_requests(processes: TrainingProcesses) -> None:
    """Sends the second process its last requests, which it carries out while the first is used."""
    for request in _LAST_REQUESTS:
        processes.two_threads.send(request)


def _measure_other(process: TrainingProcess, unless: int = 0) -> OtherUse:
    """What the further backend that was just asked for reports and uses; not measured if it reports ``unless``."""
    reported: int = process.report()["reported"]
    if reported == unless:
        return reported, None
    process.send("prepare other")
    process.report()
    process.send("train other")
    return reported, measure_settled_threads(process.pid)


def memory_exhaustion_report(subject: Subject) -> dict[str, Any]:
    """What ``exhaust_memory`` returned in the first process.

    Empty if the framework itself ended the process: no error could have been translated then.
    """
    return _memory_reports(subject)[0]


def error_of_repeated_calls(subject: Subject) -> str:
    """What ``repeat_exhausted_calls`` found in the first process; nothing if the framework itself ended it."""
    return str(_memory_reports(subject)[1].get("raised", ""))


def _memory_reports(subject: Subject) -> list[dict[str, Any]]:
    """What the first process answers to the requests about memory, by request, whereupon it ends."""

    def read() -> list[dict[str, Any]]:
        observations(subject)
        processes = shared_training_processes(subject)
        try:
            return [
                _report_unless_crashed(processes.one_thread, may_exit=request != _MEMORY_REQUESTS[0])
                for request in _MEMORY_REQUESTS
            ]
        finally:
            subject.end(processes)

    return subject.cached("memory reports", read)


def _report_unless_crashed(process: TrainingProcess, *, may_exit: bool) -> dict[str, Any]:
    try:
        report: dict[str, Any] = process.report(MEMORY)
    except ProcessEndedError as ended:
        if ended.status >= 0 and not may_exit:
            raise Mismatch("a process that keeps running after memory runs out", ended.got, MEMORY) from ended
        return {}
    return report
