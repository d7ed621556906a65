"""What a failed call leaves behind: nothing, not even a reference to its exception."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from charkit.backend import Backend
from charkit.system.garbage_collection import collection_paused
from charkit.testing.agreement import require_agreement
from charkit.testing.backend_parts import Parts
from charkit.testing.cases import Case, make_case, realistic_case
from charkit.testing.error_location import sources_of_subject
from charkit.testing.kept_errors import variable_with
from charkit.testing.registry import check, check_precisions
from charkit.testing.subject import Subject
from charkit.testing.tolerances import require

_BACKWARD = (
    "backend.py: differentiate(); lstm.py, output.py and loss.py if the backward pass is written by hand"
)


#: How long this thread waits for another one to begin its part of a call.
_BEGIN_SECONDS = 0.05


class InterruptionError(BaseException):
    """Raised in a forward pass, like Ctrl-C."""


@check_precisions("gradients", among=("float32",))
def gradients_after_a_failed_call(subject: Subject, precision: str) -> None:
    """After an exception at the end of the forward pass, the next gradient is correct."""
    case = make_case(num_layers=1, masked=True)
    parts = parts_after_a_failed_call(subject.backend(precision), case)
    require_right_gradients(parts, case, precision, f"{_BACKWARD}; what a failed call leaves behind")


def require_right_gradients(parts: Parts, case: Case, precision: str, look_at: str) -> None:
    """Raises Mismatch unless the next gradients are those of the oracle."""
    gradients, _, _ = parts.gradients(*case.batch)
    require_agreement(
        gradients,
        lambda oracle: oracle(case.model).gradients(case.weights, *case.batch),
        precision=precision,
        kind="gradients",
        look_at=look_at,
    )


def parts_after_a_failed_call(backend: Backend[Any], case: Case) -> Parts:
    """Parts whose first gradient an exception ended, in each thread that computed it, after the forward pass."""
    parts = Parts(backend, case.model, case.weights)
    whole, fails = parts.forward, True

    def forward(*arguments: Any) -> Any:
        result = whole(*arguments)
        if fails:
            raise InterruptionError
        return result

    parts.forward = forward
    with suppress(InterruptionError):
        parts.gradients(*case.batch)
    fails = False
    return parts


@check("gradients")
def errors_are_released(subject: Subject) -> None:
    """Once the caller drops an error raised by a forward pass in any thread, it and the call's memory are released."""
    backend, sources = subject.backend("float32"), sources_of_subject(subject)
    # Some backends use other threads only for larger batches, and nothing is raised in another thread alone if none do.
    for case, only_elsewhere in product((make_case(batch_size=8), realistic_case()), (False, True)):
        kept = _kept_error(backend, sources, case, only_elsewhere=only_elsewhere)
        require(
            not kept,
            expected="no reference to an exception after the caller has dropped it",
            got=f"{kept}; the memory of the failed call stays in use",
            look_at="backend.py: compile() and differentiate() keep no exception, and nothing that holds one, such as "
            "a Future; if a local variable holds one, delete the variable in a finally clause",
        )


class _PlantedError(RuntimeError, MemoryError):
    """Raised in a forward pass, as frameworks raise where memory runs out, which a backend may handle separately.

    Unlike an exception of Python's own, it can have weak references.
    """


def _kept_error(backend: Backend[Any], sources: list[Path], case: Case, *, only_elsewhere: bool) -> str:
    """What keeps the exception of a gradient's forward pass, or nothing.

    It is raised in all threads, or in all but this one.

    An exception that nothing but its own traceback refers to, through a variable of a function, stays until the
    garbage collector runs. That counts if the function is one of the plugin, not if it is one of the framework.
    """
    caller, raised = threading.current_thread(), list[weakref.ref[_PlantedError]]()
    parts = Parts(backend, case.model, case.weights)
    whole, has_begun_elsewhere = parts.forward, threading.Event()

    def forward(*arguments: Any) -> Any:
        if threading.current_thread() is not caller:
            has_begun_elsewhere.set()
        elif threading.active_count() > 1:
            has_begun_elsewhere.wait(_BEGIN_SECONDS)
        result = whole(*arguments)
        if not only_elsewhere or threading.current_thread() is not caller:
            raise _planted_error(raised)
        return result

    parts.forward = forward
    with collection_paused():
        with suppress(Exception):  # other checks judge what comes out
            parts.gradients(*case.batch)
        holders = [variable_with(kept, sources) for one in raised if (kept := one()) is not None]
        kept = None
        if any(one() is not None for one in raised):
            gc.collect()
    kept_by = next(
        (
            f"{holder} refers to the exception, whose traceback refers back to the variable"
            for holder in holders
            if holder
        ),
        "",
    )
    if any(one() is not None for one in raised):
        kept_by = "the exception is still referenced"
    return kept_by


def _planted_error(raised: list[weakref.ref[_PlantedError]]) -> _PlantedError:
    """A new error, added to ``raised``, for a caller that must not have it in a variable when raising it."""
    error = _PlantedError("out of memory (simulated by the conformance kit)")
    raised.append(weakref.ref(error))
    return error
