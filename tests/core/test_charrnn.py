"""CharRNN composes the parts; here on the NumPy backend."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import charkit
from charkit.backend import State
from charkit.errors import ConfigurationError, InputError, RunError, StorageError
from charkit.snapshot import Snapshot
from charkit.weights import initial_weights
from charrnn_support import assert_equal, batch, model


def test_the_defaults_are_the_classic_ones() -> None:
    classic = charkit.CharRNN(84)
    assert (classic.batch_size, classic.num_steps) == (64, 50)
    assert (classic.config.lstm_size, classic.config.num_layers) == (128, 2)
    assert (classic.optimizer_config.learning_rate, classic.optimizer_config.grad_clip) == (0.001, 5.0)
    assert classic.backend.name == "numpy"


def test_the_initialization_is_a_choice() -> None:
    network = charkit.CharRNN(9, lstm_size=16, initialization="uniform", precision="float64", seed=3)
    expected = initial_weights(network.config, 3, "uniform")
    for name, array in network.weights().items():
        np.testing.assert_array_equal(array, expected[name])
    with pytest.raises(
        ConfigurationError, match=r"^unknown initialization 'unifrom' \(did you mean 'uniform'"
    ):
        charkit.CharRNN(9, initialization="unifrom")  # type: ignore[arg-type]


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
        watched.nats(*batch(9, (2, 4)), watched.initial_state(2))
        watched.predict(np.zeros((4, 1), np.int32), watched.initial_state(4))
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
    nats, _ = network.nats(symbols, targets, network.initial_state(2))
    state = network.initial_state(2)
    for t in range(6):
        logits, state = network.predict(symbols[:, t : t + 1].copy(), state)
        expected = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(2), targets[:, t]]
        np.testing.assert_allclose(nats[:, t], expected, atol=1e-12)


def test_a_state_of_one_sequence_serves_several_side_by_side() -> None:
    network = model()
    symbols, _ = batch(shape=(1, 6))
    once = network.advance(symbols, network.initial_state(1))
    logits, _ = network.predict(
        np.array([[2], [2]], np.int32), network.initial_state(2, arrays=network.state_arrays(once))
    )
    single, _ = network.predict(np.array([[2]], np.int32), once)
    np.testing.assert_allclose(logits, np.repeat(single, 2, axis=0), rtol=1e-5)


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
    higher = network.nats(inputs, inputs, network.initial_state(2))[0].mean()
    for column in used:
        weights["lstm.0.weight_ih"][5, column] -= 2e-6
    network.load_weights(weights)
    lower = network.nats(inputs, inputs, network.initial_state(2))[0].mean()
    assert gradient[5, used].sum() == pytest.approx((higher - lower) / 2e-6, rel=1e-5)


def test_arrays_in_any_memory_order_are_trained() -> None:
    plain, transposed = model(), model()
    transposed.load_weights({name: np.asfortranarray(array) for name, array in plain.weights().items()})
    for step in range(2):
        plain.train_step(*batch(step))
        transposed.train_step(*batch(step))
    for name, array in plain.weights().items():
        assert np.array_equal(array, transposed.weights()[name]), name


def test_a_snapshot_brings_back_all_of_a_network() -> None:
    network, other = model(dropout=0.3), model(dropout=0.3, seed=0)
    network.train_step(*batch(1))
    snapshot = network.snapshot()
    network.train_step(*batch(2))
    other.restore(snapshot)
    assert other.step == 1
    other.train_step(*batch(2))
    assert_equal(network, other)
    again = Snapshot.from_arrays(snapshot.arrays())
    other.restore(again)
    network.restore(snapshot)
    assert_equal(network, other)


def test_a_snapshot_of_another_shape_changes_nothing() -> None:
    network, before = model(), model()
    for other in (model(lstm_size=5), model(num_layers=1), model(batch_size=2)):
        with pytest.raises(InputError):
            network.restore(other.snapshot())
    assert_equal(network, before)


def test_a_saved_network_trains_on_to_the_bit(tmp_path: Path) -> None:
    network = model(dropout=0.3, precision="float64", learning_rate=0.02, weight_decay=0.1, seed=5)
    network.train_step(*batch(1))
    network.save(tmp_path / "network.safetensors")
    other = charkit.CharRNN.load(tmp_path / "network.safetensors", threads=1)
    assert (other.config, other.optimizer_config) == (network.config, network.optimizer_config)
    assert (other.batch_size, other.num_steps, other.backend.precision) == (3, 5, "float64")
    network.train_step(*batch(2))
    other.train_step(*batch(2))
    assert_equal(network, other)


def test_what_is_no_saved_network_is_refused(tmp_path: Path) -> None:
    network = model()
    network.save(tmp_path / "network")
    whole = (tmp_path / "network").read_bytes()
    (tmp_path / "text").write_text("not a network", "utf-8")
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    save_file({"a": np.zeros(3)}, tmp_path / "arrays")
    for name in ("text", "cut", "arrays"):
        with pytest.raises(RunError, match=r"was not written by CharRNN\.save"):
            charkit.CharRNN.load(tmp_path / name)
    with pytest.raises(
        RunError, match=r"can't read '.*missing': No such file or directory; give the path of a file"
    ):
        charkit.CharRNN.load(tmp_path / "missing")
    for path in (None, "a\0b"):
        for use in (charkit.CharRNN.load, network.save):
            with pytest.raises(ConfigurationError, match="`path` must"):
                use(path)  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="can't write"):
        network.save(tmp_path / "no folder" / "network")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": -1}, "seed must be at least 0; given -1"),
        ({"seed": 1.5}, "seed must be an integer; given 1.5"),
        ({"num_steps": 0}, "num_steps must be at least 1; given 0"),
        ({"num_steps": 1.7}, "num_steps must be an integer; given 1.7"),
        ({"precision": "x"}, "unknown precision 'x'"),
        ({"precision": 5}, "unknown precision 5"),
        ({"step": 1.5}, "step must be an integer; given 1.5"),
        ({"step": np.inf}, "step must be an integer; given inf"),
    ],
)
def test_a_saved_network_with_altered_values_is_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "network.safetensors"
    model().save(path)
    with safe_open(path, "numpy") as file:
        settings = json.loads(file.metadata()["charkit"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dictionary
    arrays |= {name: np.asarray(value) for name, value in changes.items() if name == "step"}
    settings |= {name: value for name, value in changes.items() if name != "step"}
    save_file(arrays, path, {"charkit": json.dumps(settings)})
    with pytest.raises(RunError, match=reason):
        charkit.CharRNN.load(path)


def test_samples_are_symbols_that_the_seed_decides() -> None:
    network = model()
    drawn = network.sample(12, count=3, seed=4)
    assert (drawn.shape, drawn.dtype) == ((3, 12), np.int32)
    assert np.array_equal(drawn, network.sample(12, count=3, seed=4))
    assert not np.array_equal(drawn, network.sample(12, count=3, seed=5))
    assert np.array_equal(drawn[:1], network.sample(12, seed=4))
    primed = network.sample(5, prime=np.array([1, 2, 3], np.int32), seed=4, temperature=0)
    state = network.advance(np.array([[1, 2]], np.int32), network.initial_state())
    logits, _ = network.predict(np.array([[3]], np.int32), state)
    assert primed[0, 0] == logits.argmax()
    with pytest.raises(InputError, match="prime must contain indices from 0 to 6"):
        network.sample(5, prime=np.array([7], np.int32))
    for prime in (np.array([], np.int32), np.zeros((1, 2), np.int32), np.zeros(2), [1, 2]):
        with pytest.raises(
            InputError, match=r"prime must be a non-empty int32 array of shape \(time,\); given"
        ):
            network.sample(5, prime=prime)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="temperature"):
        network.sample(5, temperature=-1)
