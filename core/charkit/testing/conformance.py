"""The pytest class behind ``charkit.testing.pytest_kit``, which registers this module for rewriting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from charkit.backend import Backend
from charkit.testing.catalog import all_checks
from charkit.testing.registry import Check
from charkit.testing.runner import run_check
from charkit.testing.subject import Subject


class BackendConformance:
    """Every check of the kit as a test method. Subclass it, and name the backend:

        class TestMine(BackendConformance):
            backend = "mine"

    Override ``make_backend`` to check a backend that is not installed as a plugin. A check that is known to fail
    goes into ``expected_failures`` with the reason; once it passes, the test fails until the entry is removed. A
    check of a precision or capability that the backend does not declare is skipped. Checks can't be overridden or
    removed: doing so raises TypeError.
    """

    #: The backend's name, of the installed plugin or of its class.
    backend: ClassVar[str] = ""
    #: Names of checks that are known to fail, each with the reason.
    expected_failures: ClassVar[Mapping[str, str]] = {}
    _subject: ClassVar[Subject | None] = None

    def make_backend(self, precision: str) -> Backend[Any]:
        """Creates the backend in that precision; by default, the installed one of that name."""
        raise NotImplementedError("make_backend is called only if a subclass overrides it")

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls._subject = None
        tests = {_test_name(check): check for check in all_checks()}
        replaced = [name for name in tests if getattr(cls, name) is not getattr(BackendConformance, name)]
        if replaced:
            raise TypeError(
                f"{cls.__name__} overrides {', '.join(replaced)}; checks can't be overridden or removed: "
                "put one that is known to fail into expected_failures, with the reason"
            )
        names = {check.name for check in tests.values()}
        for name, reason in cls.expected_failures.items():
            if name not in names or not reason.strip():
                raise TypeError(
                    f"{cls.__name__}.expected_failures[{name!r}] = {reason!r}: "
                    "the key must be the name of a check and the value a reason"
                )

    def subject(self) -> Subject:
        """The backend under test, created once per class. Fails if no backend is named."""
        cls = type(self)
        if not cls.backend:
            pytest.fail(f'{cls.__name__} names no backend; set backend = "NAME"', pytrace=False)
        if cls._subject is None:
            is_overridden = cls.make_backend is not BackendConformance.make_backend
            cls._subject = Subject(cls.backend, self.make_backend if is_overridden else None)
        return cls._subject

    @classmethod
    def teardown_class(cls) -> None:
        """Ends the processes that the checks share."""
        if cls._subject is not None:
            cls._subject.end()


def _test_name(check: Check) -> str:
    return f"test_{check.name}"


def _test(check: Check) -> Callable[[BackendConformance], None]:
    def test(self: BackendConformance) -> None:
        result = run_check(check, self.subject())
        reason = self.expected_failures.get(check.name)
        if reason is None and result.status == "not declared":
            pytest.skip(result.got)
        if reason is not None and result.status == "failed":
            pytest.xfail(f"{reason} (got {result.got})")
        assert reason is None, (
            f"expected to fail ({reason}), but it {'passes' if result.passed else f'is {result.got}'}; "
            "remove it from expected_failures"
        )
        assert result.passed, (
            f"{check.promise}\n  stage:    {result.stage}\n  expected: {result.expected}"
            f"\n  got:      {result.got}\n  look at:  {result.look_at}"
        )

    test.__name__ = _test_name(check)
    test.__qualname__ = f"{BackendConformance.__name__}.{test.__name__}"
    test.__doc__ = check.promise
    return test


def _add_tests(checks: list[Check]) -> None:
    if not checks:
        raise RuntimeError("charkit.testing has no checks")
    for check in checks:
        setattr(BackendConformance, _test_name(check), _test(check))


_add_tests(all_checks())
