"""Stage build: what a backend must not do to the process around it, and what it says of its device."""

from __future__ import annotations

import os
import re
from typing import Any, NoReturn

import numpy as np

from charkit import plugins
from charkit.testing.judge import require
from charkit.testing.registry import check
from charkit.testing.subject import Subject

#: A device with its number, as the command line takes it.
_DEVICE = re.compile(r"\b[a-z]+:\d+\b")
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
    """An error out of a compiled function is raised, and only memory that runs out becomes a MemoryError."""
    backend = subject.backend("float32")

    def fail(argument: Any) -> NoReturn:
        raise RuntimeError(_PLANTED)

    raised: BaseException | None = None
    try:
        backend.compile(fail)(backend.tensor(np.zeros(1)))
    except Exception as error:  # noqa: BLE001 - whatever comes is judged
        raised = error
    require(
        isinstance(raised, RuntimeError) and _PLANTED in str(raised),
        expected=f"RuntimeError: {_PLANTED}",
        got="no error" if raised is None else f"{type(raised).__name__}: {raised}"[:200],
        look_at="backend.py: compile()",
    )
