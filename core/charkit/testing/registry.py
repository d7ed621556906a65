"""The registry of checks, and the stages in which they run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from charkit.testing.subject import Subject
from charkit.testing.tolerances import Mismatch

#: The stages in order, and the others that must have passed before each.
STAGES: dict[str, tuple[str, ...]] = {
    "import": (),
    "build": ("import",),
    "forward": ("build",),
    "loss": ("forward",),
    "gradients": ("loss",),
    "optimizer": ("build",),
    "training": ("gradients", "optimizer"),
    "sampling": ("forward",),
}

#: The stage of cases that are drawn at random. It needs all others, and runs only if it is asked for.
DRAWN = "drawn"

CheckT = TypeVar("CheckT", bound=Callable[[Subject], None])
PrecisionCheckT = TypeVar("PrecisionCheckT", bound=Callable[[Subject, str], None])
#: Called with each precision before a check runs in it.
OnPrecision = Callable[[str], None]


@dataclass(frozen=True)
class Check:
    """One promise of the contract, and the function that raises Mismatch if the backend breaks it."""

    stage: str
    name: str
    promise: str
    run: Callable[[Subject, OnPrecision], None]
    #: The capability that a backend must declare for the check to apply; empty if it applies to all.
    capability: str = ""
    #: The precisions of which a backend must declare one for the check to apply; empty if it applies to all.
    among: tuple[str, ...] = ()

    def not_declared(self, subject: Subject) -> str:
        """Why the check does not apply to the backend; empty if it does."""
        if self.capability and self.capability not in subject.capabilities():
            return f"capability {self.capability} is not among the backend's capabilities"
        if self.among and not set(self.among) & set(subject.precisions()):
            are = "are" if len(self.among) > 1 else "is"
            return f"{' and '.join(self.among)} {are} not among the backend's precisions"
        return ""


_checks: dict[str, Check] = {}


def check(stage: str, *, capability: str = "") -> Callable[[CheckT], CheckT]:
    """Registers a check that runs once. Its name is the function's, its promise the docstring's first line.

    ``capability`` is what a backend must declare for the check to apply to it.
    """

    def register(function: CheckT) -> CheckT:
        def run(subject: Subject, on_precision: OnPrecision) -> None:
            function(subject)

        _add(function, Check(stage, function.__name__, _promise(function), run, capability))
        return function

    return register


def check_precisions(
    stage: str, among: tuple[str, ...] = (), *, capability: str = ""
) -> Callable[[PrecisionCheckT], PrecisionCheckT]:
    """Registers a check that runs in every precision that the backend declares, or in those of ``among``.

    ``capability`` is what a backend must declare for the check to apply to it.
    """

    def register(function: PrecisionCheckT) -> PrecisionCheckT:
        def run(subject: Subject, on_precision: OnPrecision) -> None:
            for precision in subject.precisions():
                if not among or precision in among:
                    on_precision(precision)
                    try:
                        function(subject, precision)
                    except Mismatch as mismatch:
                        got = f"in {precision}: {mismatch.got}"
                        raise Mismatch(mismatch.expected, got, mismatch.look_at) from mismatch

        _add(function, Check(stage, function.__name__, _promise(function), run, capability, among))
        return function

    return register


def _promise(function: Callable[..., None]) -> str:
    return (function.__doc__ or "").partition("\n")[0]


def _add(function: Callable[..., None], check: Check) -> None:
    if check.stage not in STAGES or check.name in _checks or not check.promise:
        raise ValueError(f"check {check.name!r} needs a known stage, a unique name and a docstring")
    _checks[check.name] = check


def registered() -> list[Check]:
    """The checks registered so far, in the order of the stages."""
    order = list(STAGES)
    return sorted(_checks.values(), key=lambda check: order.index(check.stage))
