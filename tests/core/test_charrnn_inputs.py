"""CharRNN refuses what does not fit, and a step that fails changes nothing."""

from __future__ import annotations

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
    with pytest.raises(ConfigurationError, match="batch_size and num_steps"):
        model(batch_size=0)
    with pytest.raises(ConfigurationError, match="vocabulary_size"):
        charkit.CharRNN(1)
    with pytest.raises(ConfigurationError, match="seed must be at least 0; given -1"):
        model(seed=-1)


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
        (np.full((3, 1), 7, np.int32), "symbols from 0 to 6, the model's vocabulary; given 7"),
        (np.full((3, 1), -1, np.int32), "symbols from 0 to 6, the model's vocabulary; given -1"),
        (np.zeros((3, 1), np.int64), r"int32 \(batch, .*\), not empty; given int64 \(3, 1\)"),
        (np.zeros(5, np.int32), r"given int32 \(5,\)"),
        (np.zeros((3, 0), np.int32), r"not empty; given int32 \(3, 0\)"),
        ([[1], [2], [3]], "must be a NumPy array, int32 .*; given list"),
    ],
)
def test_symbols_that_do_not_fit_are_refused_by_every_method(method: str, symbols: Any, said: str) -> None:
    network = model()
    with pytest.raises(InputError, match=said):
        calls(network)[method](symbols)
    assert network.step == 0


def test_one_symbol_at_a_time_is_predicted() -> None:
    network = model()
    with pytest.raises(InputError, match=r"int32 \(batch, 1\), not empty; given int32 \(2, 3\)"):
        network.predict(np.zeros((2, 3), np.int32), network.initial_state(2))


def test_a_training_batch_has_the_batch_size_and_one_shape() -> None:
    network = model()
    with pytest.raises(InputError, match="the network's batch_size, 3; given 2 sequences"):
        network.train_step(*batch(shape=(2, 5)))
    with pytest.raises(InputError, match=r"targets must have the shape of inputs, \(3, 5\); given \(3, 4\)"):
        network.train_step(batch()[0], batch(shape=(3, 4))[1])
    assert network.state().hidden.shape == (2, 3, 6)


def test_masks_that_do_not_fit_are_refused() -> None:
    network = model(dropout=0.5)
    for masks in (np.ones((2, 3, 5, 5), np.bool_), np.ones((2, 3, 5, 6), np.float32), [True]):
        with pytest.raises(InputError, match=r"masks must be bool \(2, 3, 5, 6\); given"):
            network.train_step(*batch(), masks=masks)


def test_states_that_do_not_fit_are_refused() -> None:
    network, right = model(), np.zeros((2, 3, 6), np.float32)
    wrong: list[tuple[Any, str]] = [
        (State(right, right[:, :2]), r"the state's cell must be .* = \(2, 3, 6\); given float32 \(2, 2, 6\)"),
        (State(right.astype(int), right), "the state's hidden must be floating-point"),
        (State(right.tolist(), right), "given list"),
        (right, "two arrays; given ndarray"),
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
    with pytest.raises(InputError, match=r"hidden must be .* = \(2, 4, 6\); given float32 \(2, 3, 6\)"):
        network.initial_state(4, arrays=State(right, right))
    with pytest.raises(InputError, match="two arrays; given ndarray"):
        network.initial_state(4, arrays=right)  # type: ignore[arg-type]


def test_weights_that_are_no_dictionary_are_refused() -> None:
    with pytest.raises(InputError, match="weights must be a dictionary of arrays by name; given list"):
        model().load_weights([])  # type: ignore[arg-type]
    with pytest.raises(
        InputError, match=r"these gradients don't belong to this model: lstm\.0\.bias is missing"
    ):
        model().apply_gradients({})


def test_a_backend_that_is_given_is_not_made_again() -> None:
    given = model(precision="float64", threads=1).backend
    assert charkit.CharRNN(7, backend=given).backend is given
    assert charkit.CharRNN(7, backend=given, precision="float64", device="cpu", threads=1).backend is given
    for name, value in {"precision": "float32", "device": "cuda:0", "threads": 2}.items():
        settings: dict[str, Any] = {name: value}
        with pytest.raises(ConfigurationError, match=f"{name} {value!r} does not match the given backend"):
            charkit.CharRNN(7, backend=given, **settings)


class FailingBackend(NumpyBackend):
    """Runs out of memory at one of the calls of a step."""

    fails_in = ""

    def _fail_in(self, where: str) -> None:
        if self.fails_in == where:
            raise MemoryError(where)

    def tensor(self, array: Any) -> Any:
        self._fail_in("tensor")
        return super().tensor(array)

    def build_output(self, model: Any) -> Any:
        inner = super().build_output(model)

        def output(*arguments: Any) -> Any:
            self._fail_in("forward")
            return inner(*arguments)

        return output

    def differentiate(self, forward: Any) -> Any:
        inner = super().differentiate(forward)

        def backward(*arguments: Any) -> Any:
            results = inner(*arguments)
            self._fail_in("backward")
            return results

        return backward


@pytest.mark.parametrize("where", ["tensor", "forward", "backward"])
def test_a_step_that_runs_out_of_memory_changes_nothing(where: str) -> None:
    backend = FailingBackend(precision="float32", device="cpu", threads=1)
    network, sound = model(backend=backend, threads=None), model()
    for one in (network, sound):
        one.train_step(*batch(1))
    backend.fails_in = where
    with pytest.raises(MemoryError):
        network.train_step(*batch(2))
    backend.fails_in = ""
    assert_equal(network, sound)
    for one in (network, sound):
        one.train_step(*batch(3))
    assert_equal(network, sound)
