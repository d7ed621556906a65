"""Stage training: what shows only in isolated processes, such as the hash seed, process settings and user defaults."""

from __future__ import annotations

from charkit.testing.error_location import sources_of_subject
from charkit.testing.isolated.observations import (
    ends_by_itself,
    error_of_the_last_call,
    lasting_threads,
    observations,
    report_of_user_defaults,
)
from charkit.testing.isolated.process import TrainingProcess
from charkit.testing.lasting_threads import names_of_threads_in
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require

#: Longer than the slowest framework takes to unload on a busy machine.
_END_SECONDS = 30.0
#: When a process may be changed, and where to look.
_WHEN_CHANGED = {
    "created": "backend.py: __init__",
    "used": "backend.py: the builders, differentiate() and compile(), and what they call",
    "imported": "the module that imports the framework, or backend.py: __init__",
}


@check("training")
def process_settings_are_unchanged(subject: Subject) -> None:
    """Creating and using the backend changes no process setting, random state, environment variable or file."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    observed = observations(subject)
    for when, look_at in _WHEN_CHANGED.items():
        changed = sorted({name for observation in observed for name in observation.changed[when]})
        require(
            not changed,
            expected="the settings of the process as they were before the backend was created and used",
            got=f"changed: {', '.join(changed)}",
            look_at=f"{look_at}; the process belongs to the user: restore whatever is set temporarily, even if a call "
            "raises or two backends work at once",
        )


@check("training")
def user_defaults_do_not_matter(subject: Subject) -> None:
    """The user's defaults in the framework, such as the floating-point type and the device, change nothing."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    _, two_threads = observations(subject)
    require(
        two_threads.dtype == "float32",
        expected="float32 arrays where the user's default in the framework is float64",
        got=f"{two_threads.dtype} arrays",
        look_at="backend.py: tensor(), and all code that creates arrays, must specify the dtype",
    )
    for default, wrong in report_of_user_defaults(subject).items():
        require(
            not wrong,
            expected=f"the same results and settings with the user's {default} in effect",
            got=wrong,
            look_at="backend.py: tensor(), the builders and all code that creates arrays specify the device and the "
            "dtype; modes, and anything else that must differ from the user's settings, are set during each call, in "
            "tensor() and in the function that compile() returns",
        )


@check("training")
def float32_follows_another_precision(subject: Subject) -> None:
    """A float32 network returns float32 arrays even if one of the same sizes in another precision ran first."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    _, two_threads = observations(subject)
    wrong = {name: dtype for name, dtype in two_threads.dtypes.items() if dtype != "float32"}
    require(
        not wrong,
        expected=f"float32 arrays from a float32 network, even after a {subject.finest()} network",
        got=", ".join(f"{name}: {dtype}" for name, dtype in wrong.items()),
        look_at="what is kept between calls and shared by networks: its key must contain the dtype",
    )


@check("training")
def versions_are_the_same_in_every_process(subject: Subject) -> None:
    """Two processes, one of which has imported SciPy if it is installed, report the same versions."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    first, second = (observation.versions for observation in observations(subject))
    differing = sorted(name for name in first | second if first.get(name) != second.get(name))
    require(
        not differing,
        expected="the same versions() in every process",
        got="; ".join(f"{name}: {first.get(name)!r} and {second.get(name)!r}" for name in differing),
        look_at="backend.py: versions() names libraries and hardware, nothing that changes from run to run "
        "or with what else has been imported, such as SciPy, whose BLAS is not NumPy's",
    )


@check("sampling")
def threads_end_with_the_process(subject: Subject) -> None:
    """A process that has used the backend ends after its last line: no thread keeps it alive."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    look_at = "backend.py and lstm.py: idle threads are daemons, or belong to an executor, whose threads Python ends"
    # This process has used the backend with larger models, but may have threads of others.
    names = lasting_threads(subject) or names_of_threads_in(sources_of_subject(subject))
    require(
        not names,
        expected="no thread that Python waits for when the process ends",
        got=f"threads that are still running: {', '.join(names)}",
        look_at=look_at,
    )
    require(
        ends_by_itself(subject, _END_SECONDS),
        expected=f"a process that ends within {_END_SECONDS:.0f} s of its last line of code",
        got="a process that keeps running",
        look_at=look_at,
    )


@check("sampling")
def threads_outlive_the_main_thread(subject: Subject) -> None:
    """A thread that the user started can still train after the main thread has ended."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    error = error_of_the_last_call(subject, _END_SECONDS)
    require(
        not error,
        expected="a training step in a thread that goes on after the main thread has ended",
        got=error,
        look_at="backend.py and lstm.py: an executor accepts no call once the main thread has ended; make the call "
        "in the caller's thread then",
    )


@check("training")
def results_do_not_depend_on_the_hash_seed(subject: Subject) -> None:
    """Two processes with different Python hash seeds compute the same bits: no sum iterates over a set."""
    if subject.factory is not None:
        return  # only an installed plugin can be created in another process
    first, second = observations(subject)
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
        look_at="optimizer.py and backend.py: loops over a set of names; sort the names, or iterate over the "
        "dictionary",
    )
