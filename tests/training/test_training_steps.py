"""The steps that training runs: in order, with their learning rates and masks, and the state reset with the text."""

from __future__ import annotations

import numpy as np
import pytest

from charkit import CharRNN
from charkit.errors import InputError
from charkit.randomness import state_resets
from charkit.text.batches import Batches
from charkit.training.steps import run_step, training_steps, upcoming_steps

SYMBOLS = np.arange(2 * 3 * 4 + 1, dtype=np.uint8) % 7  # two batches of three streams, four symbols each


def model() -> CharRNN:
    return CharRNN(7, batch_size=3, num_steps=4, lstm_size=5, num_layers=1, dropout=0.5, threads=1)


def rate(step: int) -> float:
    return step / 1000


def test_steps_come_in_order_with_their_masks_and_learning_rates() -> None:
    network, batches = model(), Batches(SYMBOLS, 3, 4)
    steps = list(upcoming_steps(network, batches, 2, 5, rate))
    assert [step.number for step in steps] == [2, 3, 4, 5]
    assert [step.learning_rate for step in steps] == [0.002, 0.003, 0.004, 0.005]
    for step in steps:
        inputs, targets = batches.batch((step.number - 1) % 2)
        assert (step.inputs == inputs).all()
        assert (step.targets == targets).all()
        assert step.masks is not None
        assert (step.masks == network.masks(step.number, (3, 4))).all()


def test_the_state_is_reset_where_the_text_starts_again() -> None:
    network = model()
    blank = []
    for step in upcoming_steps(network, Batches(SYMBOLS, 3, 4), 1, 5, rate):
        blank.append(not network.state().hidden.any())
        run_step(network, step)
    assert blank == [True, False, True, False, True]


def test_states_are_reset_at_random_and_no_other_sequence_is_touched() -> None:
    network = CharRNN(7, batch_size=3, num_steps=4, lstm_size=5, num_layers=2, seed=9, threads=1)
    symbols = np.arange(3 * 4 * 40 + 1, dtype=np.uint8) % 7
    reset = []
    after = network.state()
    for step in upcoming_steps(network, Batches(symbols, 3, 4), 1, 40, rate, reset_probability=0.3):
        before = network.state()
        expected = state_resets(9, step.number, 3, 0.3) if step.number > 1 else np.ones(3, np.bool_)
        reset.append(expected)
        for one, other in zip(before, after, strict=True):
            assert not one[:, expected].any()
            assert (one[:, ~expected] == other[:, ~expected]).all()
        run_step(network, step)
        after = network.state()
        assert all(array.all() for array in after)
    assert 0.15 < np.mean(reset[1:]) < 0.45
    assert len({tuple(row) for row in reset}) > 4


def test_a_reset_that_does_not_fit_is_refused() -> None:
    for streams in (np.ones(2, np.bool_), np.ones(3, np.int32), [True, False, True]):
        with pytest.raises(
            InputError, match=r"streams must be a bool array of shape \(batch,\) = \(3,\); given"
        ):
            model().reset_state(streams)  # type: ignore[arg-type]


def test_a_step_is_run_when_its_result_is_asked_for() -> None:
    network = model()
    results = training_steps(network, upcoming_steps(network, Batches(SYMBOLS, 3, 4), 1, 5, rate))
    assert network.step == 0
    assert [next(results).step, network.step] == [1, 1]
    assert [result.step for result in results] == [2, 3, 4, 5]


def test_without_a_model_there_are_the_same_batches_and_no_masks() -> None:
    batches = Batches(SYMBOLS, 3, 4)
    ours = list(upcoming_steps(model(), batches, 1, 3, rate))
    plain = list(upcoming_steps(None, batches, 1, 3, rate))
    for one, other in zip(ours, plain, strict=True):
        assert (one.inputs == other.inputs).all()
        assert other.masks is None
        assert other.learning_rate == one.learning_rate
