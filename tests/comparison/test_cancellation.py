"""Steps whose terms cancel: rounding is relative to the terms, so their arrays have wider bounds, and no others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from charkit.charrnn import CharRNN
from charkit.config import RunConfig
from charkit.testing.tolerances import BOUNDS
from charkit.training.steps import TrainingStep
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.step_errors import judge_step
from charkit_comparison.agreement.step_reference import StepReference
from comparison_steps import made, off

LIMIT = BOUNDS["float32"]["gradients"]


def cancelling() -> tuple[RecordedStep, RunConfig]:
    """A step whose gradient of output.bias almost cancels: half the targets are one symbol, half the other."""
    recorded, _, config = made()
    weights = {name: np.zeros_like(array) for name, array in recorded.before.weights.items()}
    weights["output.bias"][2:] = -30.0  # two symbols, as likely as each other
    weights["output.bias"][0] = 1e-3
    targets = np.tile(np.array([0, 1], np.int32), 12).reshape(recorded.targets.shape)
    before = replace(recorded.before, weights=weights)
    return replace(recorded, before=before, targets=targets), config


def test_a_gradient_whose_terms_cancel_has_the_bound_of_its_terms() -> None:
    recorded, config = cancelling()
    reference = StepReference(recorded, config)
    cancels = reference.cancellation["the gradient of output.bias"]
    # Every term is the difference of 0.5 and 0 or 1, give or take 2.5e-4, and the gradient is what is left: 2.5e-4.
    assert cancels == pytest.approx(1.0 / 2.5e-4, rel=1e-2)

    model = CharRNN.from_config(
        config.model,
        config.optimizer,
        CharRNN(11, backend="numpy", threads=1).backend,
        batch_size=4,
        num_steps=6,
        weights=recorded.before.weights,
    )
    model.restore(recorded.before)
    results = StepResults.of(model, recorded)
    assert judge_step(reference, results, "float32").error is None
    bias = results.gradients["output.bias"]
    for share, is_wrong in ((0.5, False), (2.0, True)):
        moved = results.gradients | {"output.bias": off(bias, share * cancels * LIMIT)}
        error = judge_step(reference, replace(results, gradients=moved), "float32").error
        assert (error is not None and error.array == "the gradient of output.bias") == is_wrong


def test_other_arrays_get_no_more_room_where_a_gradient_cancels() -> None:
    recorded, results, config = made()
    reference = StepReference(recorded, config)
    assert set(reference.cancellation) == {*reference.gradients, "the loss"}
    assert all(1.0 <= value < 30.0 for value in reference.cancellation.values())
    error = judge_step(reference, replace(results, nats=off(results.nats, 2 * LIMIT)), "float32").error
    assert error is not None
    assert error.array == "the loss"


def memorized(precision: str) -> tuple[RecordedStep, StepResults, RunConfig]:
    """A step of a model that predicts every symbol of its text, so that its loss is nearly zero."""
    model = CharRNN(
        4, 4, 20, lstm_size=8, learning_rate=0.05, dropout=0.0, precision=precision, threads=1, seed=3
    )
    text = np.tile(np.arange(4), (4, 6))[:, :21].astype(np.int32)
    inputs, targets = text[:, :-1].copy(), text[:, 1:].copy()
    for _ in range(200):
        loss = model.train_step(inputs, targets).loss
    assert loss < 2e-3
    recorded = RecordedStep.of(model, TrainingStep(201, inputs, targets, None, 0.05))
    config = RunConfig(model=model.config, optimizer=model.optimizer_config)
    return recorded, StepResults.of(model, recorded), config


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_step_of_a_nearly_perfect_model_is_judged_by_the_terms_of_its_loss(precision: str) -> None:
    """Its loss and the slope of it are differences of nearly equal numbers, so that rounding is a larger share."""
    recorded, results, config = memorized(precision)
    reference = StepReference(recorded, config)
    assert judge_step(reference, results, precision).error is None
    share = 2 * BOUNDS[precision]["forward"] * reference.cancellation["the loss"]
    error = judge_step(reference, replace(results, nats=off(results.nats, share)), precision).error
    assert error is not None
    assert error.array == "the loss"
