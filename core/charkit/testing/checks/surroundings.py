"""Stage build: what a backend must not do to the process around it, and what it says of its device."""

from __future__ import annotations

import os
import re
import threading
from typing import Any, NoReturn

import numpy as np

from charkit import plugins
from charkit.backend import Backend
from charkit.testing.judge import require
from charkit.testing.registry import check
from charkit.testing.subject import Subject

#: A device with its number, as the command line takes it.
_DEVICE = re.compile(r"\b[a-z]+:\d+\b")
#: Longer than a function takes that returns its argument.
_PATIENCE_SECONDS = 60.0
_PLANTED = "raised by the conformance kit"


@check("build")
def process_is_left_alone(subject: Subject) -> None:
    """Making the backend, with a number of threads too, changes no environment variable and no setting of NumPy."""
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
    changed += [f"numpy.seterr of {name}" for name, what in np.geterr().items() if errors[name] != what]
    require(
        not changed,
        expected="a process with the settings that it had",
        got=f"others: {', '.join(changed)}",
        look_at="backend.py: __init__ puts back what it sets for a moment",
    )


@check("build")
def reports_fit_the_device(subject: Subject) -> None:
    """A processor reports no device memory, and no notice recommends a device that isn't there."""
    backend = subject.backend("float32")
    if backend.device == "cpu":
        memory = backend.device_memory_bytes()
        look_at = "backend.py: device_memory_bytes()"
        require(memory is None, expected="None on a processor", got=repr(memory), look_at=look_at)
    declared = type(backend).devices()
    told = [device for notice in backend.notices() for device in _DEVICE.findall(notice)]
    absent = sorted({device for device in told if device not in declared})
    require(
        not absent,
        expected=f"notices on devices that are declared: {', '.join(declared)}",
        got=f"one on {', '.join(absent)}",
        look_at="backend.py: notices()",
    )


@check("build")
def errors_come_through(subject: Subject) -> None:
    """Errors and Ctrl-C come out of a compiled function as they are, and the next call works, in another thread too."""
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
        later.join(_PATIENCE_SECONDS)
        require(
            not later.is_alive(),
            expected="a call after the one that failed, which ends",
            got=f"one that has not ended after {_PATIENCE_SECONDS:g} s",
            look_at="backend.py: compile(): a lock that is not released where an error is raised",
        )


def _raised(backend: Backend[Any], error: BaseException) -> BaseException | None:
    """What comes out of a compiled function that raises this error."""

    def fail(argument: Any) -> NoReturn:
        raise error

    try:
        backend.compile(fail)(backend.tensor(np.zeros(1)))
    except BaseException as raised:  # noqa: BLE001 - whatever comes is judged
        return raised
    return None
