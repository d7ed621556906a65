"""CharRNN composes the parts; here on the NumPy backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import charkit
from charkit.backend import State
from charkit.errors import BackendError, ConfigurationError, RunError


def model(**changes: Any) -> charkit.CharRNN:
    settings: dict[str, Any] = {"batch_size": 3, "num_steps": 5, "lstm_size": 6, "threads": 1}
    return charkit.CharRNN(7, **{**settings, **changes})


def batch(seed: int = 0, shape: tuple[int, int] = (3, 5)) -> tuple[Any, Any]:
    symbols = np.random.default_rng(seed).integers(0, 7, (shape[0], shape[1] + 1)).astype(np.int32)
    return symbols[:, :-1].copy(), symbols[:, 1:].copy()


def test_the_defaults_are_the_classic_ones() -> None:
    classic = charkit.CharRNN(84)
    assert (classic.batch_size, classic.num_steps) == (64, 50)
    assert (classic.model.lstm_size, classic.model.num_layers) == (128, 2)
    assert (classic.optimizer.learning_rate, classic.optimizer.grad_clip) == (0.001, 5.0)
    assert classic.backend.name == "numpy"


def test_a_step_is_gradients_then_update_to_the_bit() -> None:
    fused, parts = model(dropout=0.4), model(dropout=0.4)
    for step in range(1, 4):
        inputs, targets = batch(step)
        masks = parts.masks(step, inputs.shape)
        gradients, nats, state = parts.gradients(inputs, targets, state=parts.state(), masks=masks)
        norm = parts.apply_gradients(gradients)
        parts.load_state(state)
        result = fused.train_step(inputs, targets)
        assert result.loss == float(np.mean(nats, dtype=np.float64))
        assert result.gradient_norm == norm
    for name, array in fused.weights().items():
        assert np.array_equal(array, parts.weights()[name]), name
    assert np.array_equal(fused.state().cell, parts.state().cell)


def test_training_from_saved_arrays_goes_on_to_the_bit() -> None:
    unbroken, first = model(dropout=0.3), model(dropout=0.3)
    for step in range(4):
        unbroken.train_step(*batch(step))
    for step in range(2):
        first.train_step(*batch(step))
    second = model(dropout=0.3)
    second.load_weights(first.weights())
    second.load_moments(*first.moments(), step=first.step)
    second.load_state(first.state())
    for step in range(2, 4):
        second.train_step(*batch(step))
    for name, array in unbroken.weights().items():
        assert np.array_equal(array, second.weights()[name]), name


def test_evaluation_and_prediction_leave_training_alone() -> None:
    plain, watched = model(), model()
    for step in range(3):
        plain.train_step(*batch(step))
        watched.train_step(*batch(step))
        watched.nats(*batch(9, (2, 4)), watched.zero_state(2))
        watched.predict(np.zeros((4, 1), np.int32), watched.start(4))
    for name, array in plain.weights().items():
        assert np.array_equal(array, watched.weights()[name]), name
    assert np.array_equal(plain.state().hidden, watched.state().hidden)


def test_the_gradient_of_a_batch_is_that_of_its_slices() -> None:
    network = model(precision="float64")
    inputs, targets = batch()
    state = State(*(np.random.default_rng(1).normal(size=(2, 3, 6)) * 0.1 for _ in range(2)))
    whole, _, _ = network.gradients(inputs, targets, state=state)
    parts = [
        network.gradients(
            inputs[rows], targets[rows], state=State(state.hidden[:, rows], state.cell[:, rows])
        )[0]
        for rows in (slice(0, 1), slice(1, 3))
    ]
    for name, gradient in whole.items():
        np.testing.assert_allclose(gradient, (parts[0][name] + 2 * parts[1][name]) / 3, atol=1e-14)


def test_prediction_continues_from_its_state() -> None:
    network = model(precision="float64")
    symbols, targets = batch(shape=(2, 6))
    nats, _ = network.nats(symbols, targets, network.start(2))
    state = network.start(2)
    for t in range(6):
        logits, state = network.predict(symbols[:, t : t + 1].copy(), state)
        expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(2), targets[:, t]]
        np.testing.assert_allclose(nats[:, t], expected, atol=1e-12)


def test_advance_and_repeat_give_the_state_of_side_by_side_streams() -> None:
    network = model()
    symbols, _ = batch(shape=(1, 6))
    once = network.advance(symbols, network.start(1))
    logits, _ = network.predict(np.array([[2], [2]], np.int32), network.repeat(once, 2))
    single, _ = network.predict(np.array([[2]], np.int32), once)
    np.testing.assert_allclose(logits, np.repeat(single, 2, axis=0), rtol=1e-5)


def test_numbers_out_of_range_are_told() -> None:
    with pytest.raises(ConfigurationError, match="lstm_size"):
        model(lstm_size=0)
    with pytest.raises(ConfigurationError, match="batch_size and num_steps"):
        model(batch_size=0)
    with pytest.raises(ConfigurationError, match="vocabulary_size"):
        charkit.CharRNN(1)


def test_a_precision_or_device_it_lacks_is_told() -> None:
    with pytest.raises(BackendError, match="no precision 'bfloat16'; it has float32, float64"):
        model(precision="bfloat16")
    with pytest.raises(BackendError, match="no device 'cuda:9' here; it has cpu"):
        model(device="cuda:9")
    with pytest.raises(BackendError, match="threads must be at least 1"):
        model(threads=0)


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(RunError, match=r"lstm\.0\.bias has shape"):
        model().load_weights(model(lstm_size=7).weights())


def test_the_thread_count_does_not_enter_the_numbers() -> None:
    one, two = model(threads=1, dropout=0.2), model(threads=2, dropout=0.2)
    for step in range(3):
        assert one.train_step(*batch(step)).loss == two.train_step(*batch(step)).loss
    for name, array in one.weights().items():
        assert np.array_equal(array, two.weights()[name]), name


def test_a_large_vocabulary_takes_the_other_way_to_the_same_gradient() -> None:
    """Beyond 512 symbols layer 0's gradient is gathered over the symbols that occur."""
    network = charkit.CharRNN(600, batch_size=2, num_steps=4, lstm_size=3, num_layers=1, precision="float64")
    inputs = np.array([[599, 3, 3, 520], [0, 3, 599, 7]], np.int32)
    gradient = network.gradients(inputs, inputs)[0]["lstm.0.weight_ih"]
    used = [0, 3, 7, 520, 599]
    assert not np.delete(gradient, used, axis=1).any()
    weights = network.weights()
    for column in used:
        weights["lstm.0.weight_ih"][5, column] += 1e-6
    network.load_weights(weights)
    higher = network.nats(inputs, inputs, network.start(2))[0].mean()
    for column in used:
        weights["lstm.0.weight_ih"][5, column] -= 2e-6
    network.load_weights(weights)
    lower = network.nats(inputs, inputs, network.start(2))[0].mean()
    assert gradient[5, used].sum() == pytest.approx((higher - lower) / 2e-6, rel=1e-5)


def test_arrays_in_any_memory_order_are_trained() -> None:
    plain, transposed = model(), model()
    transposed.load_weights({name: np.asfortranarray(array) for name, array in plain.weights().items()})
    for step in range(2):
        plain.train_step(*batch(step))
        transposed.train_step(*batch(step))
    for name, array in plain.weights().items():
        assert np.array_equal(array, transposed.weights()[name]), name


@pytest.mark.parametrize(
    "symbols",
    [
        np.full((3, 5), 7, np.int32),
        np.full((3, 5), -1, np.int32),
        np.zeros((3, 5), np.int64),
        np.zeros(5, np.int32),
        np.zeros((0, 5), np.int32),
    ],
)
def test_symbols_that_there_are_not_are_refused(symbols: Any) -> None:
    with pytest.raises(ConfigurationError):
        model().train_step(symbols, symbols)
    with pytest.raises(ConfigurationError):
        model().train_step(batch()[0], symbols)
