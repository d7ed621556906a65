"""Stage build: a backend has no side effects on its process, and its reports match its device."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from charkit import plugins
from charkit.backend import Backend, State
from charkit.network import Advance, Predict
from charkit.plugins.failures import describe_error
from charkit.testing.cases import make_case
from charkit.testing.registry import check
from charkit.testing.subject import Subject
from charkit.testing.threaded_call import ThreadedCall
from charkit.testing.tolerances import require

#: Kinds of devices that frameworks have. Other kinds are those that the backend declares.
_KINDS = {"cpu", "cuda", "gpu", "hip", "hpu", "metal", "mps", "mtia", "npu", "rocm", "tpu", "xla", "xpu"}
#: A name with a number, as the command line takes devices. A line of a file or a port looks like it too.
_NUMBERED = re.compile(r"\b([a-z]+):\d+\b")
#: Longer than a function that returns its argument takes.
_TIMEOUT_SECONDS = 60.0
_PLANTED = "raised by the conformance kit"


@check("build")
def creation_changes_no_settings(subject: Subject) -> None:
    """Creating the backend, even if threads is given, changes no environment variable or NumPy setting."""
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
    changed += [f"numpy.seterr({name}=...)" for name, mode in np.geterr().items() if errors[name] != mode]
    require(
        not changed,
        expected="unchanged settings of the process",
        got=f"changed: {', '.join(changed)}",
        look_at="backend.py: __init__ leaves these settings as they were, and restores what it sets temporarily",
    )


@check("build")
def reports_match_the_device(subject: Subject) -> None:
    """The CPU reports no device memory, and no notice recommends a device that is not declared."""
    backend = subject.backend("float32")
    if backend.device == "cpu":
        memory = backend.device_memory_bytes()
        look_at = "backend.py: device_memory_bytes()"
        require(
            memory is None,
            expected="device_memory_bytes(): None on a CPU",
            got=repr(memory),
            look_at=look_at,
        )
    declared = type(backend).devices()
    kinds = _KINDS | {device.partition(":")[0] for device in declared}
    found = [named for notice in backend.notices() for named in _NUMBERED.finditer(notice)]
    absent = sorted({named[0] for named in found if named[1] in kinds and named[0] not in declared})
    require(
        not absent,
        expected=f"notices only about declared devices: {', '.join(declared)}",
        got=f"a notice about {', '.join(absent)}",
        look_at="backend.py: notices()",
    )


@check("build")
def errors_propagate(subject: Subject) -> None:
    """Errors and Ctrl-C pass through compiled functions unchanged, and the next call works from any thread."""
    backend = subject.backend("float32")
    case = make_case(num_layers=1)
    arguments = (
        {name: backend.tensor(array) for name, array in case.weights.items()},
        backend.tensor(case.symbols),
        State(*map(backend.tensor, case.state)),
    )
    for error in (RuntimeError(_PLANTED), KeyboardInterrupt(_PLANTED)):
        failing, working = _functions(error), _functions(None)
        for what, function in failing.items():
            raised = _raised(backend, function, arguments)
            require(
                type(raised) is type(error) and _PLANTED in str(raised),
                expected=f"{type(error).__name__}: {_PLANTED}",
                got="no error" if raised is None else f"{type(raised).__name__}: {raised}"[:200],
                look_at="backend.py: compile(): errors and Ctrl-C pass through unchanged",
            )
            _require_result(partial(backend.compile(working[what]), *arguments), what)


def _functions(error: BaseException | None) -> dict[str, Any]:
    """Functions of weights, symbols and a state, as the core evaluates with, which raise the error, if any."""

    def lstm(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
        if error is not None:
            raise error
        return symbols, state

    def output(weights: Any, features: Any) -> Any:
        return features

    return {
        "a function": lambda weights, symbols, state: lstm(weights, symbols, state, None)[0],
        "a prediction": Predict(lstm, output),
        "advancing a state": Advance(lstm),
    }


def _require_result(call: Callable[[], object], what: str) -> None:
    """Raises Mismatch unless the call returns in another thread."""
    later = ThreadedCall(call)
    ends = later.ends(_TIMEOUT_SECONDS)
    expected = f"a result from {what} in another thread, after a failed call"
    require(
        ends,
        expected=expected,
        got=f"no result within {_TIMEOUT_SECONDS:g} s",
        look_at="backend.py: compile(): a lock that is not released after an error",
    )
    require(
        later.error is None,
        expected=expected,
        got="" if later.error is None else describe_error(later.error)[:200],
        look_at="backend.py: compile(): the function that it returns must work in every thread",
    )


def _raised(backend: Backend[Any], function: Any, arguments: tuple[Any, ...]) -> BaseException | None:
    """What a function raises once it is compiled."""
    try:
        backend.compile(function)(*arguments)
    except BaseException as raised:  # noqa: BLE001 - the error is the result
        return raised
    return None
