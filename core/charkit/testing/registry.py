"""The checks, in the order in which an author meets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from charkit.testing.judge import Mismatch
from charkit.testing.subject import Subject

#: The stages, and which others must have passed before one makes sense.
STAGES: dict[str, tuple[str, ...]] = {
    "import": (),
    "build": ("import",),
    "forward": ("build",),
    "loss": ("forward",),
    "gradients": ("loss",),
    "optimiser": ("build",),
    "training": ("gradients", "optimiser"),
    "sampling": ("forward",),
}

OnceT = TypeVar("OnceT", bound=Callable[[Subject], None])
EachT = TypeVar("EachT", bound=Callable[[Subject, str], None])


@dataclass(frozen=True)
class Check:
    """One promise of the contract, and the function that raises Mismatch where it is broken."""

    stage: str
    name: str
    promise: str
    run: Callable[[Subject], None]


_checks: dict[str, Check] = {}


def check(stage: str) -> Callable[[OnceT], OnceT]:
    """Registers a check that runs once; its name is the function's, its promise the docstring's first line."""

    def register(function: OnceT) -> OnceT:
        _add(stage, function.__name__, function.__doc__, function)
        return function

    return register


def check_precisions(stage: str, among: tuple[str, ...] = ()) -> Callable[[EachT], EachT]:
    """Registers a check that runs in every precision that the backend declares, or in those among some."""

    def register(function: EachT) -> EachT:
        def run(subject: Subject) -> None:
            for precision in subject.precisions():
                if not among or precision in among:
                    try:
                        function(subject, precision)
                    except Mismatch as miss:
                        raise Mismatch(miss.expected, f"in {precision}: {miss.got}", miss.look_at) from miss

        _add(stage, function.__name__, function.__doc__, run)
        return function

    return register


def _add(stage: str, name: str, documentation: str | None, run: Callable[[Subject], None]) -> None:
    if stage not in STAGES or name in _checks or not documentation:
        raise ValueError(f"check {name!r} needs a known stage, a name of its own and a docstring")
    _checks[name] = Check(stage, name, documentation.splitlines()[0], run)


def all_checks() -> list[Check]:
    """Every check, in the order of the stages."""
    from charkit.testing import checks

    checks.load()
    order = list(STAGES)
    return sorted(_checks.values(), key=lambda one: order.index(one.stage))
