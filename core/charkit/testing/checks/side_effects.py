"""Stage build: a backend has no side effects on its process, and its reports match its device."""

from __future__ import annotations

import os
import re
import threading
from typing import Any, NoReturn

import numpy as np

from charkit import plugins
from charkit.backend import Backend
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require

#: A device with its number, as the command line takes it.
_DEVICE = re.compile(r"\b[a-z]+:\d+\b")
#: Longer than a function that returns its argument takes.
_TIMEOUT_SECONDS = 60.0
_PLANTED = "raised by the conformance kit"


@check("build")
def creation_changes_no_settings(subject: Subject) -> None:
    """Creating the backend, even with a number of threads, changes no environment variable or NumPy setting."""
    threads = subject.backend(
        "float32"
    ).threads  # what a framework sets when it is imported is its own affair
    before, errors = dict(os.environ), dict(np.geterr())
    if subject.factory is None:
        plugins.create(subject.name, precision="float32", device=subject.device, threads=threads)
    else:
        subject.new("float32")
    after = dict(os.environ)
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    changed += [f"numpy.seterr of {name}" for name, mode in np.geterr().items() if errors[name] != mode]
    require(
        not changed,
        expected="unchanged settings of the process",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: __init__ restores what it sets temporarily",
    )


@check("build")
def reports_match_the_device(subject: Subject) -> None:
    """The CPU reports no device memory, and no notice recommends a device that is not declared."""
    backend = subject.backend("float32")
    if backend.device == "cpu":
        memory = backend.device_memory_bytes()
        look_at = "backend.py: device_memory_bytes()"
        require(memory is None, expected="None on a CPU", got=repr(memory), look_at=look_at)
    declared = type(backend).devices()
    mentioned = [device for notice in backend.notices() for device in _DEVICE.findall(notice)]
    absent = sorted({device for device in mentioned if device not in declared})
    require(
        not absent,
        expected=f"notices only about declared devices: {', '.join(declared)}",
        got=f"a notice about {', '.join(absent)}",
        look_at="backend.py: notices()",
    )


@check("build")
def errors_propagate(subject: Subject) -> None:
    """Errors and Ctrl-C pass through a compiled function unchanged, and the next call works from any thread."""
    backend = subject.backend("float32")
    argument = backend.tensor(np.zeros(1))
    for error in (RuntimeError(_PLANTED), KeyboardInterrupt(_PLANTED)):
        raised = _raised(backend, error)
        require(
            type(raised) is type(error) and _PLANTED in str(raised),
            expected=f"{type(error).__name__}: {_PLANTED}",
            got="no error" if raised is None else f"{type(raised).__name__}: {raised}"[:200],
            look_at="backend.py: compile()",
        )
        unchanged: Any = backend.compile(lambda argument: argument)
        later = threading.Thread(target=unchanged, args=(argument,), daemon=True)
        later.start()
        later.join(_TIMEOUT_SECONDS)
        require(
            not later.is_alive(),
            expected="a result from the call after the failed one",
            got=f"no result after {_TIMEOUT_SECONDS:g} s",
            look_at="backend.py: compile(): a lock that is not released after an error",
        )


def _raised(backend: Backend[Any], error: BaseException) -> BaseException | None:
    """What a compiled function raises whose code raises this error."""

    def fail(argument: Any) -> NoReturn:
        raise error

    try:
        backend.compile(fail)(backend.tensor(np.zeros(1)))
    except BaseException as raised:  # noqa: BLE001 - the error is the result
        return raised
    return None
