"""Evaluation and prediction on NumPy, where a batch is computed in two halves, whatever the number of threads."""

from __future__ import annotations

import numpy as np
import pytest

from charkit import CharRNN
from charkit.backend import Array
from charkit_numpy import lstm

VOCABULARY_SIZE, TIME = 11, 6


def _network(threads: int) -> CharRNN:
    return CharRNN(
        VOCABULARY_SIZE, 4, TIME, lstm_size=16, num_layers=2, backend="numpy", threads=threads, seed=3
    )


def _symbols(batch: int, stream: int) -> Array:
    return np.random.default_rng(stream).integers(0, VOCABULARY_SIZE, (batch, TIME)).astype(np.int32)


def _results(network: CharRNN, inputs: Array, targets: Array) -> list[Array]:
    """Nats, the state after them, the logits that follow, and the state after an advance: sequences first."""
    nats, state = network.nats(inputs, targets, network.initial_state(len(inputs)))
    logits, after = network.predict(inputs[:, :1].copy(), state)
    advanced = network.advance(targets, after)
    states = [network.state_arrays(one) for one in (state, after, advanced)]
    return [nats, logits, *(array.swapaxes(0, 1) for one in states for array in one)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch", [7, 8, 9, 64])
def test_a_batch_gives_what_its_sequences_give(batch: int, threads: int) -> None:
    network = _network(threads)
    inputs, targets = _symbols(batch, 1), _symbols(batch, 2)
    together = _results(network, inputs, targets)
    alone = [_results(network, inputs[i : i + 1], targets[i : i + 1]) for i in range(batch)]
    for index, array in enumerate(together):
        np.testing.assert_allclose(
            array, np.concatenate([results[index] for results in alone]), rtol=2e-5, atol=1e-6
        )


def test_one_thread_gives_the_bits_of_two() -> None:
    inputs, targets = _symbols(20, 1), _symbols(20, 2)
    for one, two in zip(*(_results(_network(threads), inputs, targets) for threads in (1, 2)), strict=True):
        np.testing.assert_array_equal(one, two)


def test_results_stay_as_they_are_when_another_batch_is_computed() -> None:
    network = _network(1)
    inputs, targets = _symbols(12, 1), _symbols(12, 2)
    first = _results(network, inputs, targets)
    kept = [array.copy() for array in first]
    _results(network, targets, inputs)
    for array, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize("steps", [1, 2, 4, TIME])
def test_blocks_of_time_steps_give_what_all_steps_give(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = _symbols(4, 1), _symbols(4, 2)
    whole = _results(_network(1), inputs, targets)
    monkeypatch.setattr(lstm, "_LEAST_BLOCK", 2)
    monkeypatch.setattr(
        lstm, "_BLOCK_BYTES", steps * 4 * 4 * 16 * 4
    )  # gates of 4 sequences, 16 units, float32
    calls = []
    through_layers = lstm.NumpyLstm._through_layers
    monkeypatch.setattr(
        lstm.NumpyLstm,
        "_through_layers",
        lambda self, *arguments: calls.append(0) or through_layers(self, *arguments),
    )
    for array, expected in zip(_results(_network(1), inputs, targets), whole, strict=True):
        np.testing.assert_allclose(array, expected, rtol=2e-5, atol=1e-6)
    blocks = 1 if steps == 1 else -(-TIME // steps)  # too few steps for a block
    assert len(calls) == 2 * blocks  # of the nats and the advance; a prediction is a single step
