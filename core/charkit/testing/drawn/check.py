"""The check of drawn cases, which runs after all others if it is asked for."""

from __future__ import annotations

from typing import Any

from charkit.plugins.failures import describe_error
from charkit.testing.drawn.calls import make_calls
from charkit.testing.drawn.cases import DrawnCase, draw_case
from charkit.testing.drawn.reduction import reduced
from charkit.testing.error_location import locate_error
from charkit.testing.registry import DRAWN, Check, OnPrecision
from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch


def drawn_check(count: int, seed: int) -> Check:
    """The check of the first ``count`` cases of a seed."""

    def run(subject: Subject, on_precision: OnPrecision) -> None:
        for number in range(count):
            on_precision(f"{number + 1} of {count}")
            case = draw_case(seed, number, subject.precisions(), subject.capabilities())
            if _failure(subject, case) is not None:
                raise _finding(subject, case, f"case {number + 1} of seed {seed}")

    promise = (
        "Networks with sizes and settings drawn at random compute what the oracle computes, call after call."
    )
    return Check(DRAWN, "drawn_cases", promise, run)


def _failure(subject: Subject, case: DrawnCase) -> Exception | None:
    """What comes of the calls of a case: a Mismatch, an error of the backend, or nothing."""
    try:
        make_calls(subject.backend(case.precision), case)
    except Exception as error:  # noqa: BLE001 - whatever a backend raises is a finding
        return error
    return None


def _finding(subject: Subject, case: DrawnCase, name: str) -> Mismatch:
    """The finding of the simplest case that fails like this one."""
    simplest = reduced(case, lambda simpler: _failure(subject, simpler) is not None)
    error = _failure(subject, simplest)
    if error is None:  # it depends on calls outside of the case
        return Mismatch(f"the same results in {name}", f"a failure that did not recur: {case}", _CHANGES)
    if isinstance(error, Mismatch):
        return Mismatch(error.expected, f"{error.got}; in {name}, reduced to {simplest}", error.look_at)
    where = locate_error(error, subject, lambda: _repeat(subject, simplest))
    return Mismatch(f"no error in {name}, reduced to {simplest}", describe_error(error), where)


_CHANGES = "what is kept between calls, including calls of other networks"


def _repeat(subject: Subject, case: DrawnCase) -> Any:
    make_calls(subject.backend(case.precision), case)
