"""The steps that training runs: in order, with their learning rates and masks, and the state reset with the text."""

from __future__ import annotations

import numpy as np

from charkit import CharRNN
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
