"""The pytest class: what a subclass may and may not do."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from charkit.backend import Backend
from charkit.testing import all_checks
from charkit.testing.pytest_kit import BackendConformance
from conformance import backend_faults, faults


class Reordered(BackendConformance):
    """Judges a backend that is not installed, through make_backend."""

    backend = "numpy"
    expected_failures: ClassVar[dict[str, str]] = {
        "arrays_out_are_copies": "planted",
        "one_step": "wrongly believed to fail",
        "bfloat16_is_not_float32": "of a precision that it does not have",
    }

    def make_backend(self, precision: str) -> Backend[Any]:
        return faults.make(backend_faults.NotCopyingOut)(precision)


def _run(kit: type[BackendConformance], check: str) -> None:
    getattr(kit(), f"test_{check}")()


def test_every_check_is_a_method_that_says_what_it_promises() -> None:
    for check in all_checks():
        assert getattr(BackendConformance, f"test_{check.name}").__doc__ == check.promise


def test_a_failure_says_expected_got_and_where_to_look() -> None:
    with pytest.raises(
        AssertionError, match=r"(?s)expected: .*got: .*a difference of .*look at: .*numpy\(\)"
    ):
        _run(Reordered, "copies_survive_the_update")


def test_an_expected_failure_is_one() -> None:
    with pytest.raises(pytest.xfail.Exception, match="planted"):
        _run(Reordered, "arrays_out_are_copies")


def test_an_expected_failure_that_passes_fails() -> None:
    with pytest.raises(AssertionError, match="remove it from expected_failures"):
        _run(Reordered, "one_step")


def test_what_is_not_declared_is_skipped_with_its_reason() -> None:
    kit = type("Sound", (BackendConformance,), {"backend": "numpy"})
    with pytest.raises(pytest.skip.Exception, match="not declared: bfloat16 is not among"):
        _run(kit, "bfloat16_is_not_float32")


def test_an_expected_failure_of_what_is_not_declared_fails() -> None:
    with pytest.raises(AssertionError, match=r"is not declared: bfloat16 .*; remove it"):
        _run(Reordered, "bfloat16_is_not_float32")


@pytest.mark.parametrize("replacement", [None, lambda self: None])
def test_a_check_cannot_be_overridden_or_removed(replacement: Any) -> None:
    with pytest.raises(TypeError, match="Cheating overrides test_one_layer"):
        type("Cheating", (BackendConformance,), {"backend": "numpy", "test_one_layer": replacement})


@pytest.mark.parametrize("entry", [{"no_such_check": "why"}, {"one_layer": " "}])
def test_an_expected_failure_needs_a_check_and_a_reason(entry: dict[str, str]) -> None:
    with pytest.raises(TypeError, match="the key must be the name of a check and the value a reason"):
        type("Vague", (BackendConformance,), {"backend": "numpy", "expected_failures": entry})


def test_no_backend_is_a_failure() -> None:
    nameless = type("Nameless", (BackendConformance,), {})
    with pytest.raises(pytest.fail.Exception, match="names no backend"):
        _run(nameless, "one_layer")
