"""One recorded step of the NumPy backend, right and then wrong in each of its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from charkit.backend import Moments, State
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig, RunConfig
from charkit.testing.tolerances import BOUNDS
from charkit.training.steps import TrainingStep
from charkit_comparison.agreement.recorded_step import RecordedStep, StepResults
from charkit_comparison.agreement.step_errors import judge_step
from charkit_comparison.agreement.step_reference import StepReference
from comparison_steps import made, off
from conformance import faults, named_optimizer_faults, optimizer_faults

Changed = Callable[[StepResults], StepResults]
LIMIT = BOUNDS["float32"]["gradients"]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_right_step_is_right(precision: str, weight_decay: float) -> None:
    recorded, results, config = made(precision, weight_decay=weight_decay)
    verdict = judge_step(StepReference(recorded, config), results, precision)
    assert verdict.error is None
    assert verdict.step == recorded.step == 3
    assert 0 < verdict.share_of_bound < 0.2


def _state(results: StepResults, hidden: float, cell: float) -> StepResults:
    state = results.after.state
    return replace(
        results, after=replace(results.after, state=State(off(state.hidden, hidden), off(state.cell, cell)))
    )


def _moments(results: StepResults, first: float, second: float) -> StepResults:
    name = "lstm.1.weight_hh"
    exp_avg, exp_avg_sq = results.after.moments
    moved = Moments(
        exp_avg | {name: off(exp_avg[name], first)}, exp_avg_sq | {name: off(exp_avg_sq[name], second)}
    )
    return replace(results, after=replace(results.after, moments=moved))


def _weights(results: StepResults, by: float) -> StepResults:
    weights = dict(results.after.weights)
    weights["output.bias"] = weights["output.bias"] + np.float32(by)
    return replace(results, after=replace(results.after, weights=weights))


@pytest.mark.parametrize(
    ("change", "array"),
    [
        (lambda one: replace(one, logits=off(one.logits, 1e-4)), "the logits"),
        (lambda one: replace(one, nats=off(one.nats, 1e-4)), "the loss"),
        (lambda one: _state(one, 1e-4, 0.0), "the hidden state"),
        (lambda one: _state(one, 0.0, 1e-4), "the cell state"),
        (
            lambda one: replace(
                one, gradients=one.gradients | {"lstm.0.bias": off(one.gradients["lstm.0.bias"], 1e-4)}
            ),
            "the gradient of lstm.0.bias",
        ),
        (lambda one: replace(one, norm=one.norm * 1.0001), "the gradient norm"),
        (lambda one: _moments(one, 1e-4, 0.0), "the first moment of lstm.1.weight_hh"),
        (lambda one: _moments(one, 0.0, 1e-4), "the second moment of lstm.1.weight_hh"),
        (lambda one: _weights(one, 1e-6), "the change in output.bias"),
    ],
)
def test_each_part_that_is_wrong_is_found(change: Changed, array: str) -> None:
    recorded, results, config = made()
    verdict = judge_step(StepReference(recorded, config), change(results), "float32")
    assert verdict.share_of_bound > 1
    assert verdict.error is not None
    assert (verdict.error.step, verdict.error.array) == (3, array)
    assert verdict.error.look_at == ""  # no known mistake changes one element


def _gradients(results: StepResults, **changed: Any) -> StepResults:
    gradients = {name: array for name, array in results.gradients.items() if name not in changed}
    arrays = {name: array for name, array in changed.items() if array is not None}
    return replace(results, gradients=gradients | arrays)


@pytest.mark.parametrize(
    ("change", "array", "expected", "got"),
    [
        (lambda one: replace(one, logits=one.logits[:1]), "the logits", "[4, 11]", "the shape [1, 11]"),
        (lambda one: replace(one, nats=one.nats[:1]), "the loss", "[4, 6]", "the shape [1, 6]"),
        (lambda one: replace(one, nats=one.nats[..., :5]), "the loss", "[4, 6]", "the shape [4, 5]"),
        (
            lambda one: _gradients(one, **{"lstm.0.bias": one.gradients["lstm.0.bias"][None]}),
            "the gradient of lstm.0.bias",
            "[32]",
            "the shape [1, 32]",
        ),
        (
            lambda one: _gradients(one, **{"output.bias": None}),
            "the gradient of output.bias",
            "[11]",
            "no array",
        ),
    ],
)
def test_an_array_of_another_shape_is_reported(change: Changed, array: str, expected: str, got: str) -> None:
    recorded, results, config = made()
    verdict = judge_step(StepReference(recorded, config), change(results), "float32")
    assert verdict.error is not None
    assert verdict.error.array == array
    assert verdict.error.expected == f"the shape {expected}"
    assert verdict.error.got == got


def test_the_first_wrong_array_in_the_order_of_the_computation_is_reported() -> None:
    recorded, results, config = made()
    wrong = replace(_weights(results, 1e-3), nats=off(results.nats, 1e-3))
    error = judge_step(StepReference(recorded, config), wrong, "float32").error
    assert error is not None
    assert error.array == "the loss"


def test_one_wrong_sequence_is_found_and_its_mistake_named() -> None:
    """A gate order that is swapped for one sequence of the batch: the mistake is looked for on the wrong one."""
    recorded, results, config = made()
    moved = {}
    for name, array in recorded.before.weights.items():
        i, f, g, o = np.split(array, 4) if name.startswith("lstm.") else (array,) * 4
        moved[name] = np.concatenate([i, g, f, o]) if name.startswith("lstm.") else array
    other = CharRNN.from_config(
        config.model,
        config.optimizer,
        CharRNN(11, backend="numpy", threads=1).backend,
        batch_size=4,
        num_steps=6,
        weights=moved,
    )
    start = other.initial_state(len(recorded.inputs), arrays=recorded.before.state)
    logits, _ = other.predict(recorded.inputs[:, :1].copy(), start)
    mixed = results.logits.copy()
    mixed[2] = logits[2]
    error = judge_step(StepReference(recorded, config), replace(results, logits=mixed), "float32").error
    assert error is not None
    assert error.array == "the logits"
    assert "the wrong gate order: weights read as i, g, f, o" in error.look_at


def steps_with(faulty: type[optimizer_faults.Adam]) -> list[tuple[StepReference, StepResults]]:
    """The first three steps of a backend with that optimizer."""
    model = CharRNN.from_config(
        ModelConfig(vocabulary_size=11, lstm_size=8),
        OptimizerConfig(grad_clip=1000.0, beta1=0.7, beta2=0.95),
        faults.make(faults.optimizer(faulty))("float32"),
        batch_size=4,
        num_steps=6,
        seed=3,
    )
    config, made = RunConfig(model=model.config, optimizer=model.optimizer_config), []
    rng = np.random.default_rng(0)
    for _ in range(3):
        text = rng.integers(0, 11, (4, 7)).astype(np.int32)
        recorded = RecordedStep.of(
            model, TrainingStep(model.step + 1, text[:, :-1].copy(), text[:, 1:].copy(), None, 0.002)
        )
        made.append((StepReference(recorded, config), StepResults.of(model, recorded)))
    return made


@pytest.mark.parametrize(
    ("faulty", "name"),
    [
        (named_optimizer_faults.OneAndTwo, ""),
        (named_optimizer_faults.FactorOfTheOther, ""),
        (named_optimizer_faults.CorrectionOfTheOther, ""),
        (named_optimizer_faults.DefaultBeta2, "a beta2 of 0.999 instead of 0.95"),
    ],
)
def test_a_mistake_of_the_update_is_named_by_two_steps(
    faulty: type[optimizer_faults.Adam], name: str
) -> None:
    """At the first step, from moments of zero, many mistakes are the same: a later step must prove the name."""
    first, *_, last = steps_with(faulty)
    alone = judge_step(*first, "float32")
    assert alone.error is None or alone.error.look_at == ""
    proven = [judge_step(*step, "float32", later_step=lambda: last) for step in (first, last)]
    error = next(verdict.error for verdict in proven if verdict.error)
    assert name in error.look_at
    assert bool(error.look_at) == bool(name)


def test_a_recorded_step_and_its_results_go_through_files() -> None:
    recorded, results, _ = made()
    again, results_again = (
        RecordedStep.from_arrays(recorded.arrays()),
        StepResults.from_arrays(results.arrays()),
    )
    assert again.step == recorded.step
    assert again.learning_rate == 0.002
    for one, other in ((recorded, again), (results, results_again)):
        for name, array in one.arrays().items():
            assert np.array_equal(other.arrays()[name], array), name
    few = recorded.sequences([2, 0])
    assert np.array_equal(few.inputs, recorded.inputs[[2, 0]])
    assert np.array_equal(few.before.state.cell, recorded.before.state.cell[:, [2, 0]])
    assert few.masks is not None
    assert few.masks.shape == (2, 2, 6, 8)


def test_the_reference_is_computed_in_parts_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_comparison.agreement import step_reference

    recorded, _, config = made()
    whole = StepReference(recorded, config)
    expected = {**whole.gradients, **whole.forward}
    monkeypatch.setattr(step_reference, "_ORACLE_BYTES", 1)
    parts = StepReference(recorded, config)
    for name, array in {**parts.gradients, **parts.forward}.items():
        assert np.allclose(array, expected[name], rtol=1e-12, atol=1e-15), name
