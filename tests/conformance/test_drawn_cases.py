"""Cases drawn at random: the same for a seed, right for a right backend, and simple where they fail."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from charkit.errors import ConfigurationError
from charkit.testing import CheckResult, Subject, run_check, verify
from charkit.testing.drawn.cases import DrawnCall, DrawnCase, draw_case
from charkit.testing.drawn.check import drawn_check
from charkit.testing.drawn.reduction import reduced
from charkit_numpy.backend import NumpyBackend
from conformance import backend_faults, earlier_call_faults, faults, layout_faults

_CAPABILITIES = frozenset({"weight_decay"})


def _judge(backend: type[NumpyBackend], count: int, seed: int = 0) -> CheckResult:
    return run_check(drawn_check(count, seed), Subject("numpy", faults.make(backend)))


def _case(*calls: DrawnCall) -> DrawnCase:
    return replace(draw_case(0, 0, ["float32"], _CAPABILITIES), calls=calls)


def test_a_seed_draws_the_same_cases() -> None:
    drawn = [str(draw_case(3, number, ["float32", "float64"], _CAPABILITIES)) for number in range(50)]
    assert drawn == [str(draw_case(3, number, ["float32", "float64"], _CAPABILITIES)) for number in range(50)]
    assert len(set(drawn)) == 50
    assert str(draw_case(4, 0, ["float32", "float64"], _CAPABILITIES)) not in drawn


def test_a_backend_without_weight_decay_is_given_none() -> None:
    cases = [draw_case(0, number, ["float32"], frozenset()) for number in range(50)]
    assert {case.optimizer.weight_decay for case in cases} == {0.0}


def test_right_backends_pass() -> None:
    assert _judge(NumpyBackend, 40, seed=5).passed
    assert _judge(earlier_call_faults.Divided, 40).passed


@pytest.mark.parametrize(
    ("backend", "simplest"),
    [
        (earlier_call_faults.JoinsByTime, "1 layer of 1 unit, 2 symbols: a prediction for 9 streams"),
        (
            earlier_call_faults.DividesAsAtFirst,
            "1 layer of 1 unit, 2 symbols: a prediction for 8 streams, then a prediction for 1 stream",
        ),
        (
            faults.loss(layout_faults.targets_by_shape),
            "1 layer of 1 unit, 2 symbols: gradients of 4 sequences of 2 symbols",
        ),
    ],
)
def test_a_failing_case_is_reduced_to_what_matters(backend: type[NumpyBackend], simplest: str) -> None:
    result = _judge(backend, 100)
    assert result.status == "failed"
    description = result.got if "reduced to" in result.got else result.expected
    assert description.endswith(f"of seed 0, reduced to float32, {simplest}")


def test_an_error_is_located() -> None:
    result = _judge(backend_faults.Raising, 5)
    assert result.expected.startswith("no error in case 1 of seed 0, reduced to float32, 1 layer of 1 unit")
    assert "backend_faults.py" in result.look_at


def test_a_case_that_fails_once_is_said_to_depend_on_others() -> None:
    class FailsOnce(NumpyBackend):
        failed = False

        def build_output(self, model: Any) -> Any:
            inner = super().build_output(model)

            def output(weights: Any, features: Any) -> Any:
                logits = inner(weights, features)
                if not self.failed and model.num_layers == 2:
                    FailsOnce.failed = True
                    logits = 1.5 * logits
                return logits

            return output

    result = _judge(FailsOnce, 40)
    assert result.got.startswith("a failure that did not recur: ")


def test_reduction_keeps_what_is_needed() -> None:
    def fails(case: DrawnCase) -> bool:
        kinds = [call.kind for call in case.calls]
        return (
            "update" in kinds
            and kinds[-1] == "gradients"
            and case.calls[-1].num_steps >= 5
            and case.model.lstm_size >= 3
        )

    case = _case(
        DrawnCall("prediction", 7),
        DrawnCall("update"),
        DrawnCall("nats", 3, 9),
        DrawnCall("gradients", 17, 33, masked=True),
    )
    case = replace(case, model=case.model.model_copy(update={"lstm_size": 33, "dropout": 0.5}))
    assert fails(case)
    simplest = reduced(case, fails)
    assert simplest.calls == (DrawnCall("update"), DrawnCall("gradients", 1, 5))
    assert (simplest.model.num_layers, simplest.model.lstm_size, simplest.model.vocabulary_size) == (1, 3, 2)


def test_reduction_gives_up_after_a_number_of_attempts() -> None:
    attempts = []

    def fails(case: DrawnCase) -> bool:
        attempts.append(case)
        return case.model.lstm_size >= 2

    reduced(_case(DrawnCall("nats", 64, 50)), fails)
    assert len(attempts) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"drawn_cases": -1}, "`drawn_cases` must be an integer from 0 "),
        ({"drawn_cases": 1.5}, "given 1.5"),
        ({"drawn_cases": True}, "given True"),
        ({"drawn_cases": 1, "seed": -1}, "`seed` must be an integer from 0 "),
        ({"seed": 1}, "`seed` selects the drawn cases, but there are none; add `drawn_cases`"),
    ],
)
def test_numbers_that_are_not_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        verify("numpy", stages="import", **arguments)
    assert message in str(raised.value)


def test_drawn_cases_come_last_and_need_all_stages_before() -> None:
    verification = verify("numpy", stages=["import", "build"], drawn_cases=3, seed=8)
    assert verification.passed
    assert [(check.stage, check.name) for check in verification.checks][-1] == ("drawn", "drawn_cases")
