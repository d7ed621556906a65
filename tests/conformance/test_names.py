"""Mistakes are named exactly, and nothing is named without proof."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from charkit.testing import Subject, all_checks, run_check, updates
from charkit.testing.cases import make_case
from charkit.testing.tolerances import Mismatch
from charkit_numpy.backend import NumpyBackend
from conformance import faults, optimizer_faults, unexplained_faults
from conformance.named_float64_mistakes import CLAMPED, IN_FLOAT64
from conformance.named_mistakes import (
    FAULTS,
    MASKED,
    SAME,
    Comparison,
    F,
    Fault,
    N,
    extreme_logits,
    forward_case,
    gradients_case,
    nats_case,
    optimizer_steps,
)
from conformance.plain_network import PlainNetwork, backend

CHECKS = {check.name: check for check in all_checks()}


def named(fault_backend: type[NumpyBackend], compare: Comparison, precision: str) -> tuple[str, str]:
    """The named mistake, and where to look; both empty if none is named."""
    with np.errstate(all="ignore"), pytest.raises(Mismatch) as caught:
        compare(Subject("numpy", faults.make(fault_backend)), precision)
    match = re.match("it looks like (.+?); see (.+)", caught.value.look_at)
    return (match[1], match[2]) if match else ("", "")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what)
def test_fault_is_named_exactly(fault: Fault, precision: str) -> None:
    name, where = named(fault.backend, fault.compare, precision)
    assert name == fault.named
    assert where.startswith(fault.file)


@pytest.mark.parametrize("fault", IN_FLOAT64, ids=lambda fault: fault.what)
def test_fault_is_named_exactly_in_float64(fault: Fault) -> None:
    name, where = named(fault.backend, fault.compare, "float64")
    assert name == fault.named
    assert where.startswith(fault.file)


def test_what_float32_cannot_tell_apart_is_named_together() -> None:
    name, _ = named(F.clipped_like_keras, nats_case(extreme_logits(make_case())), "float32")
    assert name == (
        f"{CLAMPED}either probabilities kept at least 1e-7 away from 0 and 1 or probabilities of at least 1e-7 or "
        f"1e-7 added to probabilities{SAME}"
    )


def test_float32_numbers_are_described() -> None:
    name, where = named(F.NarrowOut, forward_case(), "float64")
    held = "logits, hidden after one symbol, cell after one symbol, hidden and cell hold float32 numbers"
    assert name == f"float32 arithmetic instead of float64: {held}"
    assert where.startswith("tensor() in backend.py")


def _passing(*stages: str) -> list[str]:
    """The checks of these stages that apply to every backend in every precision."""
    return [
        check.name
        for check in CHECKS.values()
        if check.stage in stages and not (check.capability or check.among)
    ]


@pytest.mark.parametrize("check", _passing("forward", "gradients"))
def test_the_plain_network_is_right(check: str) -> None:
    assert run_check(CHECKS[check], Subject("numpy", faults.make(backend(PlainNetwork)))).passed


class _Float32Only(backend(PlainNetwork)):  # type: ignore[misc]  # a function returns the base class
    """Adds one row after the other, without a finer precision to be compared in."""

    precisions = frozenset({"float32"})


@pytest.mark.parametrize("check", _passing("forward", "gradients", "training"))
def test_the_plain_network_is_right_in_float32_alone(check: str) -> None:
    assert run_check(CHECKS[check], Subject("numpy", faults.make(_Float32Only))).passed


@pytest.mark.parametrize("check", _passing("optimizer"))
def test_the_plain_optimizer_is_right(check: str) -> None:
    assert run_check(CHECKS[check], Subject("numpy", faults.make(faults.optimizer(N.Clipping)))).passed


# ---- nothing is named without proof ----------------------------------------------------------------------

UNEXPLAINED = (
    unexplained_faults.noisy,
    unexplained_faults.one_array_scaled,
    unexplained_faults.one_element_off,
    unexplained_faults.one_element_gone,
)
COMPARISONS: tuple[tuple[int, Comparison], ...] = (
    (0, forward_case()),
    (0, forward_case(**MASKED)),
    (0, nats_case(make_case(masked=True))),
    (1, gradients_case()),
    (1, gradients_case(**MASKED)),
    (1, gradients_case(batch_size=1)),
    (2, optimizer_steps()),
    (2, optimizer_steps(count=1)),
    (2, optimizer_steps(grad_clip=1.0)),
)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("change", UNEXPLAINED, ids=lambda change: change.__name__)
@pytest.mark.parametrize(("which", "compare"), COMPARISONS)
def test_what_no_mistake_explains_is_not_named(
    which: int, compare: Comparison, change: Any, precision: str
) -> None:
    assert named(unexplained_faults.backends(change)[which], compare, precision) == ("", "")


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize(
    "faulty",
    [
        N.OneAndTwo,
        N.FactorOfTheOther,
        N.HalfOfTheGradient,
    ],
)
def test_what_only_a_first_step_explains_is_not_named(
    faulty: type[optimizer_faults.Adam], precision: str
) -> None:
    """A named mistake must also reproduce several steps from nonzero moments."""
    assert named(faults.optimizer(faulty), optimizer_steps(count=1), precision) == ("", "")


def test_an_optimizer_that_fails_on_the_second_case_is_not_named() -> None:
    class FailsLater(N.OneBeta):
        def __call__(self, weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
            if self.config.epsilon == updates.PROOF.optimizer.epsilon:
                raise ValueError("an optimizer that knows one configuration")
            return super().__call__(weights, moments, gradients, rates)

    assert named(faults.optimizer(FailsLater), optimizer_steps(beta1=0.7, beta2=0.95), "float32") == ("", "")
