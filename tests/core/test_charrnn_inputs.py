"""CharRNN refuses what does not fit, and nothing has changed then."""

# Over 300 lines: every argument of one class, and what is refused of each.

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.backend import State
from charkit.errors import BackendError, ConfigurationError, InputError
from charkit_numpy.backend import NumpyBackend
from charrnn_support import assert_equal, batch, model


def test_numbers_out_of_range_are_told() -> None:
    with pytest.raises(ConfigurationError, match="lstm_size"):
        model(lstm_size=0)
    with pytest.raises(ConfigurationError, match="batch_size must be at least 1; given 0"):
        model(batch_size=0)
    with pytest.raises(ConfigurationError, match="num_steps must be at least 1; given -2"):
        model(num_steps=-2)
    with pytest.raises(ConfigurationError, match="vocabulary_size"):
        charkit.CharRNN(1)
    with pytest.raises(ConfigurationError, match="seed must be at least 0; given -1"):
        model(seed=-1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 1.5}, "batch_size must be an integer; given 1.5"),
        ({"batch_size": "4"}, "batch_size must be an integer; given '4'"),
        ({"batch_size": True}, "batch_size must be an integer; given True"),
        ({"num_steps": None}, "num_steps must be an integer; given None"),
        ({"seed": 1.5}, "seed must be an integer; given 1.5"),
        ({"lstm_size": "8"}, "lstm_size must be a number; given '8'"),
        ({"learning_rate": "0.1"}, "learning_rate must be a number; given '0.1'"),
        ({"lstm_size": 8.5}, "lstm_size must be an integer"),
        ({"initialization": 3}, "unknown initialization 3; choose from orthogonal, embedding, uniform"),
        ({"backend": 3}, "backend must be the name of an installed backend, or an instance .*; given 3"),
        ({"backend": NumpyBackend}, "backend must be the name .*; given <class '.*NumpyBackend'>"),
    ],
)
def test_arguments_of_another_type_are_told(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{said}"):
        model(**changes)


@pytest.mark.parametrize("threads", ["a", 1.5, True])
def test_threads_are_an_integer(threads: Any) -> None:
    with pytest.raises(BackendError, match=f"^`threads` must be an integer; given {threads!r}"):
        model(threads=threads)


def test_integers_of_numpy_are_integers(tmp_path: Path) -> None:
    network = model(batch_size=np.int64(3), num_steps=np.int32(5), seed=np.int64(1), threads=np.int64(1))
    network.save(tmp_path / "network.safetensors")
    assert type(network.seed) is type(network.batch_size) is type(network.backend.threads) is int
    assert network.initial_state(np.int64(2)).batch_size == 2  # type: ignore[arg-type]


def test_a_configuration_needs_a_backend_that_is_made() -> None:
    configs = model().config, model().optimizer_config
    with pytest.raises(ConfigurationError, match=r"^backend must be an instance of .*Backend; given 'numpy'"):
        charkit.CharRNN.from_config(*configs, "numpy", batch_size=1, num_steps=1)  # type: ignore[arg-type]


def test_a_precision_or_device_it_lacks_is_told() -> None:
    with pytest.raises(
        BackendError, match="doesn't support precision 'bfloat16'; it supports float32, float64"
    ):
        model(precision="bfloat16")
    with pytest.raises(BackendError, match="no device 'cuda:9' here; it has cpu"):
        model(device="cuda:9")
    with pytest.raises(BackendError, match="`threads` must be at least 1"):
        model(threads=0)


def test_weights_of_another_model_are_refused() -> None:
    with pytest.raises(InputError, match=r"lstm\.0\.bias has shape"):
        model().load_weights(model(lstm_size=7).weights())


@pytest.mark.parametrize("dtype", ["int64", "complex64", "U5", "bool"])
def test_arrays_that_are_not_floating_point_are_refused(dtype: str) -> None:
    network, before = model(), model()
    weights = network.weights()
    wrong = {**weights, "output.bias": weights["output.bias"].astype(dtype)}
    said = f"output.bias must be floating-point, not {wrong['output.bias'].dtype}"
    for call in (
        lambda: network.load_weights(wrong),
        lambda: network.replace_weights(wrong),
        lambda: network.load_moments(wrong, weights, step=0),
        lambda: network.load_moments(weights, wrong, step=0),
        lambda: network.apply_gradients(wrong),
        lambda: network.restore(replace(network.snapshot(), weights=wrong)),
    ):
        with pytest.raises(InputError, match=said):
            call()
    assert_equal(network, before)
    with pytest.raises(InputError, match=r"output\.bias must be a NumPy array, not list"):
        network.load_weights({**weights, "output.bias": weights["output.bias"].tolist()})


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_loaded_arrays_must_be_finite(number: float) -> None:
    network, before = model(), model()
    weights = network.weights()
    wrong = {**weights, "output.bias": np.full(7, number)}
    with pytest.raises(InputError, match=r"^weights must be finite; output\.bias contains NaN or infinity"):
        network.load_weights(wrong)
    with pytest.raises(InputError, match=r"^exp_avg must be finite; output\.bias"):
        network.load_moments(wrong, weights, step=0)
    with pytest.raises(InputError, match=r"^exp_avg_sq must be finite; output\.bias"):
        network.load_moments(weights, wrong, step=0)
    assert_equal(network, before)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (-5, "at least 0; given -5"),
        ("x", "an integer; given 'x'"),
        (1.5, "an integer; given 1.5"),
        (True, "an integer; given True"),
        (None, "an integer; given None"),
        (10**20, "at most 1000000000000; given 1"),
    ],
)
def test_a_step_that_does_not_count_steps_is_refused(step: Any, said: str) -> None:
    network, before = model(), model()
    with pytest.raises(InputError, match=f"^step must be {said}"):
        network.load_moments(network.weights(), network.weights(), step=step)
    with pytest.raises(InputError, match=f"^step must be {said}"):
        network.restore(replace(network.snapshot(), step=step))
    assert_equal(network, before)


def test_what_is_no_snapshot_is_refused() -> None:
    network, before = model(), model()
    wrong: list[tuple[Any, str]] = [
        (None, r"a snapshot must come from snapshot\(\); given NoneType"),
        ({}, r"a snapshot must come from snapshot\(\); given dict"),
        (replace(network.snapshot(), moments=None), "moments must be a Moments .*; given NoneType"),  # type: ignore[arg-type]
        (replace(network.snapshot(), state=None), "two arrays, hidden and cell; given NoneType"),  # type: ignore[arg-type]
        (replace(network.snapshot(), weights=None), "weights must be a dictionary"),  # type: ignore[arg-type]
    ]
    for snapshot, said in wrong:
        with pytest.raises(InputError, match=said):
            network.restore(snapshot)
    with pytest.raises(InputError, match=r"must come from initial_state\(\) .*; given NoneType"):
        network.state_arrays(None)  # type: ignore[arg-type]
    assert_equal(network, before)


@pytest.mark.parametrize("rate", [np.nan, np.inf, -0.1, 101, 10**400, "a", "0.1", True, 1j, [0.1]])
def test_a_learning_rate_out_of_range_is_refused(rate: Any) -> None:
    network, before = model(), model()
    gradients = network.gradients(*batch())[0]
    with pytest.raises(InputError, match=r"^learning_rate must be a number from 0 to 100; given "):
        network.train_step(*batch(), learning_rate=rate)
    with pytest.raises(InputError, match=r"^learning_rate must be a number from 0 to 100; given "):
        network.apply_gradients(gradients, learning_rate=rate)
    assert_equal(network, before)


@pytest.mark.parametrize("rate", [0, 1, np.float32(0.5), np.array(0.25)])
def test_a_learning_rate_of_any_type_of_number_is_taken(rate: Any) -> None:
    network, plain = model(), model()
    network.train_step(*batch(), learning_rate=rate)
    plain.train_step(*batch(), learning_rate=float(rate))
    assert_equal(network, plain)


ONE = np.zeros((2, 1), np.int32)


def calls(network: charkit.CharRNN) -> dict[str, Any]:
    """Each method that takes symbols, called with symbols of any shape and a state that fits them."""

    def state(symbols: Any) -> Any:
        return network.initial_state(len(symbols) if np.ndim(symbols) else 1)

    return {
        "train_step": lambda symbols: network.train_step(symbols, symbols),
        "gradients": lambda symbols: network.gradients(symbols, symbols),
        "nats": lambda symbols: network.nats(symbols, symbols, state(symbols)),
        "predict": lambda symbols: network.predict(symbols, state(symbols)),
        "advance": lambda symbols: network.advance(symbols, state(symbols)),
    }


@pytest.mark.parametrize("method", ["train_step", "gradients", "nats", "predict", "advance"])
@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (
            np.full((3, 1), 7, np.int32),
            "indices from 0 to 6, for the 7 symbols of the model's vocabulary; given 7",
        ),
        (
            np.full((3, 1), -1, np.int32),
            "indices from 0 to 6, for the 7 symbols of the model's vocabulary; given -1",
        ),
        (
            np.zeros((3, 1), np.int64),
            r"non-empty int32 array of shape \(batch, .*\); given int64 \(3, 1\); convert it with \.astype",
        ),
        (np.zeros(5, np.int32), r"given int32 \(5,\)"),
        (np.zeros((3, 0), np.int32), r"non-empty int32 array .*; given int32 \(3, 0\)"),
        ([[1], [2], [3]], "must be an int32 NumPy array of shape .*; given list"),
    ],
)
def test_symbols_that_do_not_fit_are_refused_by_every_method(method: str, symbols: Any, said: str) -> None:
    network = model()
    with pytest.raises(InputError, match=said):
        calls(network)[method](symbols)
    assert network.step == 0


def test_one_symbol_at_a_time_is_predicted() -> None:
    network = model()
    with pytest.raises(
        InputError, match=r"non-empty int32 array of shape \(batch, 1\); given int32 \(2, 3\)"
    ):
        network.predict(np.zeros((2, 3), np.int32), network.initial_state(2))


def test_a_training_batch_has_the_batch_size_and_one_shape() -> None:
    network = model()
    with pytest.raises(InputError, match="must have 3 sequences, the network's batch_size; given 2"):
        network.train_step(*batch(shape=(2, 5)))
    with pytest.raises(
        InputError, match=r"targets must have the same shape as inputs, \(3, 5\); given \(3, 4\)"
    ):
        network.train_step(batch()[0], batch(shape=(3, 4))[1])
    assert network.state().hidden.shape == (2, 3, 6)


def test_masks_that_do_not_fit_are_refused() -> None:
    network = model(dropout=0.5)
    for masks in (np.ones((2, 3, 5, 5), np.bool_), np.ones((2, 3, 5, 6), np.float32), [True]):
        with pytest.raises(InputError, match=r"masks must be a bool array of shape \(2, 3, 5, 6\); given"):
            network.train_step(*batch(), masks=masks)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, (2,)), r"shape must be two integers, \(batch, time\); given \(2,\)"),
        ((1, (2.0, 5)), "shape must be an integer; given 2.0"),
        ((1, (2, 0)), "shape must be at least 1; given 0"),
        ((-1, (2, 5)), "step must be at least 0; given -1"),
        (("a", (2, 5)), "step must be an integer; given 'a'"),
    ],
)
def test_masks_of_what_is_no_batch_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        model(dropout=0.5).masks(*arguments)


def test_states_that_do_not_fit_are_refused() -> None:
    network, right = model(), np.zeros((2, 3, 6), np.float32)
    wrong: list[tuple[Any, str]] = [
        (
            State(right, right[:, :2]),
            r"the state's cell array must be .* = \(2, 3, 6\); given float32 \(2, 2, 6\)",
        ),
        (State(right.astype(int), right), "the state's hidden array must be floating-point"),
        (State(right.tolist(), right), "given list"),
        (right, "two arrays, hidden and cell; given ndarray"),
        ((right, right), "two arrays, hidden and cell; given tuple"),
    ]
    for state, said in wrong:
        with pytest.raises(InputError, match=said):
            network.load_state(state)
        with pytest.raises(InputError, match=said):
            network.gradients(*batch(), state=state)
    with pytest.raises(
        InputError, match=r"for 3 sequences; given symbols for 2; start with initial_state\(2\)"
    ):
        network.predict(ONE, network.initial_state(3))
    with pytest.raises(InputError, match="belongs to another model"):
        network.predict(ONE, model(num_layers=1).initial_state(2))
    with pytest.raises(InputError, match=r"must come from initial_state\(\)"):
        network.predict(ONE, network.state())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batch_size must be at least 1; given 0"):
        network.initial_state(0)
    with pytest.raises(InputError, match=r"batch_size must be an integer; given 1\.5"):
        network.initial_state(1.5)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"hidden array must be .* = \(2, 4, 6\); given float32 \(2, 3, 6\)"):
        network.initial_state(4, arrays=State(right, right))
    with pytest.raises(InputError, match="two arrays, hidden and cell; given ndarray"):
        network.initial_state(4, arrays=right)  # type: ignore[arg-type]


def test_weights_that_are_no_dictionary_are_refused() -> None:
    with pytest.raises(
        InputError, match="weights must be a dictionary that maps names to arrays; given list"
    ):
        model().load_weights([])  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"gradients must match this model: lstm\.0\.bias is missing"):
        model().apply_gradients({})


def test_a_backend_that_is_given_is_not_made_again() -> None:
    given = model(precision="float64", threads=1).backend
    assert charkit.CharRNN(7, backend=given).backend is given
    assert charkit.CharRNN(7, backend=given, precision="float64", device="cpu", threads=1).backend is given
    for name, value in {"precision": "float32", "device": "cuda:0", "threads": 2}.items():
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ConfigurationError, match=f"{name} {value!r} does not match the given backend"):
            charkit.CharRNN(7, backend=given, **settings)
