"""The conformance kit checks whether a backend computes what the contract demands, and locates what is wrong.

    from charkit.testing import run_checks

    for result in run_checks("mybackend"):
        print(result.stage, result.name, result.status, result.expected, result.got, result.look_at)

With pytest, subclass ``charkit.testing.pytest_kit.BackendConformance``.
"""

from __future__ import annotations

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
