"""Steps in which recurrence amplifies rounding: the sequences that respond to it have wider bounds, and no others.

The arrays that are judged are the reference's, moved on purpose, so that nothing depends on a machine's own rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charkit.backend import State
from charkit.charrnn import CharRNN
from charkit.config import RunConfig
from charkit.testing.tolerances import BOUNDS
from charkit.training.steps import TrainingStep
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.rounding_response import (
    CEILING,
    FEWEST_PERTURBATIONS,
    HOPELESS_FACTOR,
    PERTURBATIONS,
    RESPONSE_FACTOR,
    gradient_limits,
    worst_sequence,
)
from charkit_comparison.agreement.step_errors import judge_step
from charkit_comparison.agreement.step_reference import StepReference
from comparison_steps import made

LIMIT = BOUNDS["float32"]["forward"]
HIDDEN, LOSS, GRADIENT = "the hidden state", "the loss", "the gradient of lstm.0.weight_hh"
Amplifying = tuple[StepReference, StepResults]


def amplifying_step(scale: float) -> Amplifying:
    """A correct float32 step whose LSTM weights are so many times as large as usual; eight sequences of 60 symbols."""
    model = CharRNN(11, 8, 60, lstm_size=16, threads=1, seed=3)
    weights = model.weights()
    model.load_weights({name: array * (scale if "lstm" in name else 1) for name, array in weights.items()})
    text = np.random.default_rng(0).integers(0, 11, (8, 61)).astype(np.int32)
    step = TrainingStep(1, text[:, :-1].copy(), text[:, 1:].copy(), None, 0.002)
    recorded = RecordedStep.of(model, step)
    config = RunConfig(model=model.config, optimizer=model.optimizer_config)
    return StepReference(recorded, config), StepResults.of(model, recorded)


@pytest.fixture(scope="module", name="amplifying")
def _amplifying() -> Amplifying:
    """Some of its sequences amplify rounding by orders of magnitude, and others don't."""
    return amplifying_step(6.0)


def exact(reference: StepReference, results: StepResults, **moved: Any) -> StepResults:
    """The results with the reference's own forward pass, or with the moved arrays in its place."""
    state = State(
        moved.get("hidden", np.asarray(reference.forward[HIDDEN])),
        np.asarray(reference.forward["the cell state"]),
    )
    nats = moved.get("nats", np.asarray(reference.forward[LOSS]))
    return replace(results, nats=nats, after=replace(results.after, state=state))


def hidden_off(reference: StepReference, sequence: int, share: float) -> Any:
    """The reference's hidden state, with that of one sequence off by a share of the largest element."""
    hidden = np.asarray(reference.forward[HIDDEN]).copy()
    hidden[0, sequence, 0] += share * np.abs(hidden).max()
    return hidden


def limit_of(reference: StepReference, sequence: int) -> float:
    """The limit of one sequence's hidden state."""
    return worst_sequence(reference, HIDDEN, hidden_off(reference, sequence, 0.1), LIMIT, "float32")[1]


def test_a_correct_step_that_amplifies_rounding_is_right(amplifying: Amplifying) -> None:
    reference, results = amplifying
    assert judge_step(reference, results, "float32").error is None


def test_each_sequence_has_its_own_bound(amplifying: Amplifying) -> None:
    reference, results = amplifying
    limits = [limit_of(reference, sequence) for sequence in range(8)]
    assert min(limits) == LIMIT
    assert max(limits) > 20 * LIMIT
    for sequence in (int(np.argmin(limits)), int(np.argmax(limits))):
        right = exact(reference, results, hidden=hidden_off(reference, sequence, 0.9 * limits[sequence]))
        error = judge_step(reference, right, "float32").error
        assert error is None or error.array not in (LOSS, HIDDEN, "the cell state")
        wrong = exact(reference, results, hidden=hidden_off(reference, sequence, 1.1 * limits[sequence]))
        found = judge_step(reference, wrong, "float32").error
        assert found is not None
        assert found.array == HIDDEN


def test_several_sequences_beyond_the_bound_are_each_judged(amplifying: Amplifying) -> None:
    reference, _ = amplifying
    limits = [limit_of(reference, sequence) for sequence in range(8)]
    loose, tight = int(np.argmax(limits)), int(np.argmin(limits))
    hidden = hidden_off(reference, loose, 0.9 * limits[loose])
    hidden[0, tight, 0] += 1.1 * LIMIT * np.abs(hidden).max()
    gap, limit = worst_sequence(reference, HIDDEN, hidden, LIMIT, "float32")
    assert gap > limit == LIMIT


def test_a_loss_responds_to_rounding_from_some_time_step_on(amplifying: Amplifying) -> None:
    reference, _ = amplifying
    nats = np.asarray(reference.forward[LOSS])
    sequence = int(np.argmax([limit_of(reference, each) for each in range(8)]))

    def limit_at(time: int) -> float:
        moved = nats.copy()
        moved[sequence, time] += 0.1 * nats.max()
        return worst_sequence(reference, LOSS, moved, LIMIT, "float32")[1]

    assert limit_at(0) == LIMIT
    assert limit_at(59) > 2 * LIMIT


def test_a_wrong_gradient_is_found_where_rounding_is_amplified(amplifying: Amplifying) -> None:
    reference, results = amplifying
    plain = dict.fromkeys(reference.gradients, LIMIT)
    limit = gradient_limits(reference, plain, plain, "float32")[GRADIENT]
    assert 10 * LIMIT < limit <= CEILING
    gradient = np.asarray(reference.gradients[GRADIENT])
    moved = gradient.copy()
    moved[0, 0] += 1.1 * limit * np.abs(gradient).max()
    for wrong in (moved, 0.98 * gradient, np.zeros_like(gradient)):
        changed = replace(
            exact(reference, results), gradients=results.gradients | {"lstm.0.weight_hh": wrong}
        )
        error = judge_step(reference, changed, "float32").error
        assert error is not None
        assert error.array == GRADIENT


def test_no_bound_exceeds_the_ceiling() -> None:
    """Where rounding decides everything, zeros are still wrong."""
    reference, results = amplifying_step(40.0)
    limits = [limit_of(reference, sequence) for sequence in range(8)]
    assert max(limits) == CEILING
    zeros = exact(reference, results, hidden=np.zeros_like(results.after.state.hidden))
    error = judge_step(reference, zeros, "float32").error
    assert error is not None
    assert error.array == HIDDEN
    plain = dict.fromkeys(reference.gradients, LIMIT)
    assert max(gradient_limits(reference, plain, plain, "float32").values()) == CEILING


def test_a_step_that_does_not_amplify_keeps_its_bounds() -> None:
    recorded, _, config = made()
    reference = StepReference(recorded, config)
    assert [limit_of(reference, sequence) for sequence in range(4)] == [LIMIT] * 4
    plain = dict.fromkeys(reference.gradients, LIMIT)
    assert gradient_limits(reference, plain, plain, "float32") == plain


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_wrong(amplifying: Amplifying, value: float) -> None:
    reference, results = amplifying
    nats = np.asarray(reference.forward[LOSS]).copy()
    nats[0, 0] = value
    verdict = judge_step(reference, exact(reference, results, nats=nats), "float32")
    assert verdict.error is not None
    assert verdict.error.array == LOSS
    assert verdict.share_of_bound == np.inf


@pytest.mark.parametrize(("gap", "computed"), [(1e-2, FEWEST_PERTURBATIONS), (2 * LIMIT, PERTURBATIONS)])
def test_a_hopeless_gradient_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, gap: float, computed: int
) -> None:
    """For a large model, each perturbation takes as long as the reference."""
    recorded, _, config = made()
    reference = StepReference(recorded, config)
    plain = dict.fromkeys(reference.gradients, LIMIT)
    steps = []
    step = StepReference._steps

    def counted(self: StepReference, kind: Any) -> Any:
        steps.append(kind)
        return step(self, kind)

    monkeypatch.setattr(StepReference, "_steps", counted)
    gradient_limits(reference, plain | {"the gradient of output.bias": gap}, plain, "float32")
    assert len(steps) == computed
    assert RESPONSE_FACTOR < HOPELESS_FACTOR < 1e-2 / LIMIT
