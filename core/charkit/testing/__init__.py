"""The conformance kit: checks whether a backend computes what the contract demands, and locates errors.

    from charkit.testing import run_checks

    for result in run_checks("mybackend"):
        print(result.stage, result.name, result.status, result.expected, result.got, result.look_at)

With pytest, subclass ``charkit.testing.pytest_kit.BackendConformance``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded when they are used: the kit's own processes import this package, and need no check
    from charkit.testing.catalog import all_checks
    from charkit.testing.registry import STAGES, Check
    from charkit.testing.runner import (
        CheckResult,
        Status,
        as_json,
        check_results,
        run_check,
        run_checks,
        verdict_passed,
        verified_with,
    )
    from charkit.testing.subject import Subject
    from charkit.testing.tolerances import BOUNDS, Mismatch
    from charkit.testing.verification import Verification, verify

#: The module that each name comes from.
_MODULES = {
    "BOUNDS": "tolerances",
    "STAGES": "registry",
    "Check": "registry",
    "CheckResult": "runner",
    "Mismatch": "tolerances",
    "Status": "runner",
    "Subject": "subject",
    "Verification": "verification",
    "all_checks": "catalog",
    "as_json": "runner",
    "check_results": "runner",
    "run_check": "runner",
    "run_checks": "runner",
    "verdict_passed": "runner",
    "verified_with": "runner",
    "verify": "verification",
}

__all__ = [
    "BOUNDS",
    "STAGES",
    "Check",
    "CheckResult",
    "Mismatch",
    "Status",
    "Subject",
    "Verification",
    "all_checks",
    "as_json",
    "check_results",
    "run_check",
    "run_checks",
    "verdict_passed",
    "verified_with",
    "verify",
]

if not TYPE_CHECKING:  # for a type checker, the names above are all that there are

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'charkit.testing' has no attribute {name!r}")
        value = getattr(import_module(f"charkit.testing.{_MODULES[name]}"), name)
        globals()[name] = value  # so that this is called once for each name
        return value


def __dir__() -> list[str]:
    return [*__all__]
