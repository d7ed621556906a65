"""Steps in which recurrence amplifies rounding: the sequences that respond to it have wider bounds, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from charkit.backend import State
from charkit.charrnn import CharRNN
from charkit.config import RunConfig
from charkit.testing.tolerances import BOUNDS, difference
from charkit.training.steps import TrainingStep
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.rounding_response import (
    HOPELESS_FACTOR,
    RESPONSE_FACTOR,
    gradient_limits,
    worst_sequence,
)
from charkit_comparison.agreement.step_errors import judge_step
from charkit_comparison.agreement.step_reference import StepReference
from comparison_steps import made

LIMIT = BOUNDS["float32"]["forward"]
HIDDEN = "the hidden state"


@pytest.fixture(scope="module", name="amplifying")
def _amplifying() -> tuple[StepReference, StepResults]:
    """A correct float32 step from weights so large that some of its eight sequences amplify rounding."""
    model = CharRNN(11, 8, 60, lstm_size=16, threads=1, seed=3)
    weights = {
        name: array if name.startswith("output") else 6 * array for name, array in model.weights().items()
    }
    model.load_weights(weights)
    text = np.random.default_rng(0).integers(0, 11, (8, 61)).astype(np.int32)
    step = TrainingStep(1, text[:, :-1].copy(), text[:, 1:].copy(), None, 0.002)
    recorded = RecordedStep.of(model, step)
    config = RunConfig(model=model.config, optimizer=model.optimizer_config)
    return StepReference(recorded, config), StepResults.of(model, recorded)


def hidden_off(reference: StepReference, results: StepResults, sequence: int, share: float) -> StepResults:
    """The results with one sequence's hidden state off by a share of the largest element, and otherwise exact."""
    exact = np.asarray(reference.forward[HIDDEN])
    hidden = exact.copy()
    hidden[0, sequence, 0] += share * np.abs(exact).max()
    state = State(hidden, np.asarray(reference.forward["the cell state"]))
    return replace(results, after=replace(results.after, state=state))


def limit_of(reference: StepReference, results: StepResults, sequence: int) -> float:
    """The limit of one sequence's hidden state."""
    found = hidden_off(reference, results, sequence, 1e-2).after.state.hidden
    return worst_sequence(reference, HIDDEN, found, LIMIT, "float32")[1]


def test_a_step_that_amplifies_rounding_is_right(amplifying: tuple[StepReference, StepResults]) -> None:
    reference, results = amplifying
    assert difference(results.after.state.hidden, reference.forward[HIDDEN]) > LIMIT
    gradients = reference.gradients
    off = {name: difference(results.gradients[name.split()[-1]], gradients[name]) for name in gradients}
    assert any(gap > LIMIT * reference.cancellation[name] for name, gap in off.items())
    verdict = judge_step(reference, results, "float32")
    assert verdict.error is None
    assert 0.0 < verdict.share_of_bound <= 1.0


def test_each_sequence_has_its_own_bound(amplifying: tuple[StepReference, StepResults]) -> None:
    reference, results = amplifying
    limits = [limit_of(reference, results, sequence) for sequence in range(8)]
    assert min(limits) == LIMIT
    assert max(limits) > 20 * LIMIT
    for sequence in (int(np.argmin(limits)), int(np.argmax(limits))):
        for share, is_wrong in ((0.9, False), (1.1, True)):
            moved = hidden_off(reference, results, sequence, share * limits[sequence])
            error = judge_step(reference, moved, "float32").error
            assert (error is not None and error.array == HIDDEN) == is_wrong


def test_a_wrong_gradient_is_found_where_rounding_is_amplified(
    amplifying: tuple[StepReference, StepResults],
) -> None:
    reference, results = amplifying
    name = "the gradient of lstm.0.weight_hh"
    plain = dict.fromkeys(reference.gradients, LIMIT)
    limit = gradient_limits(reference, plain, plain, "float32")[name]
    assert limit > 10 * LIMIT
    exact = np.asarray(reference.gradients[name])
    for share, is_wrong in ((0.9, False), (1.1, True)):
        moved = exact.copy()
        moved[0, 0] += share * limit * np.abs(exact).max()
        changed = replace(results, gradients=results.gradients | {"lstm.0.weight_hh": moved})
        error = judge_step(reference, changed, "float32").error
        assert (error is not None and error.array == name) == is_wrong


def test_a_step_that_does_not_amplify_keeps_its_bounds() -> None:
    recorded, results, config = made()
    reference = StepReference(recorded, config)
    assert [limit_of(reference, results, sequence) for sequence in range(4)] == [LIMIT] * 4
    plain = dict.fromkeys(reference.gradients, LIMIT)
    assert gradient_limits(reference, plain, plain, "float32") == plain


def test_a_hopeless_gradient_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a large model, each perturbation takes as long as the reference."""
    recorded, _, config = made()
    reference = StepReference(recorded, config)
    plain = dict.fromkeys(reference.gradients, LIMIT)
    computed = []
    step = StepReference._steps

    def counted(self: StepReference, *arguments: object) -> object:
        computed.append(self)
        return step(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(StepReference, "_steps", counted)
    gradient_limits(reference, plain | {"the gradient of output.bias": 1e-2}, plain, "float32")
    assert len(computed) == 1  # one perturbation; the reference is known
    assert RESPONSE_FACTOR * HOPELESS_FACTOR < 1e-2 / LIMIT
