"""Batches that the PyTorch backend computes in two halves, each on a thread."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from with_torch.small_halves import divide_every_batch
from with_torch.threads_support import (
    BATCH_SIZE,
    VOCABULARY_SIZE,
    needs_limits,
    number_of_a_new_thread,
    small_network,
    some_symbols,
)

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("number_of_threads")]

_TIMEOUT_SECONDS = 60.0
_MUCH_LONGER_THAN_TO_SET_A_NUMBER_SECONDS = 0.3


def _results(network: CharRNN) -> dict[str, Any]:
    """Losses, norms and weights after steps with masks, and the nats, logits and states of evaluations."""
    inputs, targets = some_symbols(1), some_symbols(2)
    steps = [network.train_step(inputs, targets) for _ in range(3)]
    nats, state = network.nats(inputs, targets, network.initial_state(BATCH_SIZE))
    logits, after = network.predict(inputs[:, :1].copy(), state)
    advanced = network.advance(targets, after)
    return {
        "losses": np.array([step.loss for step in steps]),
        "norms": np.array([step.gradient_norm for step in steps]),
        "nats": nats,
        "logits": logits,
        **{f"states {i}": network.state_arrays(one)[0] for i, one in enumerate((state, after, advanced))},
        **network.weights(),
    }


def test_one_thread_gives_the_bits_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_every_batch(monkeypatch)
    one, two = (_results(small_network(threads)) for threads in (1, 2))
    for name, array in one.items():
        np.testing.assert_array_equal(array, two[name], err_msg=name)


def test_halves_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _results(small_network(2))
    divide_every_batch(monkeypatch)
    for name, array in _results(small_network(2)).items():
        np.testing.assert_allclose(array, whole[name], rtol=2e-5, atol=1e-6, err_msg=name)


@needs_limits
def test_one_half_is_computed_by_the_caller_and_one_by_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    divide_every_batch(monkeypatch)
    seen: list[tuple[int, int, bool]] = []
    lstm = torch.lstm

    def noting(*arguments: Any) -> Any:
        seen.append((threading.get_ident(), torch.get_num_threads(), torch.is_grad_enabled()))
        return lstm(*arguments)

    monkeypatch.setattr(torch, "lstm", noting)
    network, inputs, targets = small_network(2), some_symbols(1), some_symbols(2)
    network.train_step(inputs, targets)
    assert {(count, has_gradients) for _, count, has_gradients in seen} == {(1, True)}
    callers = [thread == threading.get_ident() for thread, *_ in seen]
    assert (callers.count(True), callers.count(False)) == (2, 2)  # two layers
    seen.clear()
    network.nats(inputs, targets, network.initial_state(BATCH_SIZE))
    assert {(count, has_gradients) for _, count, has_gradients in seen} == {(1, False)}


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_callers_number_of_threads_stays(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    divide_every_batch(monkeypatch)
    network = small_network(threads)
    network.train_step(some_symbols(1), some_symbols(2))
    assert [network.backend.threads, torch.get_num_threads(), number_of_a_new_thread()] == 3 * [threads]


def test_networks_in_two_threads_leave_the_number_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    divide_every_batch(monkeypatch)
    networks, inputs, targets = [small_network(2) for _ in range(2)], some_symbols(1), some_symbols(2)
    for _ in range(30):
        together, numbers = threading.Barrier(2), list[int]()

        def train(network: CharRNN, together: threading.Barrier, numbers: list[int]) -> None:
            together.wait()
            network.train_step(inputs, targets)
            numbers.append(torch.get_num_threads())

        threads = [threading.Thread(target=train, args=(one, together, numbers)) for one in networks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [*numbers, number_of_a_new_thread()] == 3 * [2]


@pytest.mark.parametrize("has_begun", [True, False])
def test_threads_that_begin_meanwhile_get_the_usual_number(
    has_begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    divide_every_batch(monkeypatch)
    network, inputs, targets = small_network(2, dropout=0), some_symbols(1), some_symbols(2)
    if has_begun:  # the backend's own thread
        network.gradients(inputs, targets)
    of_new_threads: list[int] = []
    lstm, main = torch.lstm, threading.get_ident()

    def slowly(*arguments: Any) -> Any:
        if threading.get_ident() == main:
            time.sleep(_MUCH_LONGER_THAN_TO_SET_A_NUMBER_SECONDS)
            of_new_threads.append(number_of_a_new_thread())
        return lstm(*arguments)

    monkeypatch.setattr(torch, "lstm", slowly)
    network.gradients(inputs, targets)
    assert of_new_threads == 2 * [2]  # one for each layer


@needs_limits
@pytest.mark.parametrize("of_the_caller", [True, False])
def test_an_error_in_a_half_reaches_the_caller_and_the_next_call_works(
    of_the_caller: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    divide_every_batch(monkeypatch)
    network, inputs, targets = small_network(2), some_symbols(1), some_symbols(2)
    lstm, caller = torch.lstm, threading.get_ident()
    with monkeypatch.context() as patch:

        def fail(*arguments: Any) -> Any:
            if (threading.get_ident() == caller) == of_the_caller:
                raise RuntimeError("can't allocate memory: planted")
            return lstm(*arguments)

        patch.setattr(torch, "lstm", fail)
        with pytest.raises(MemoryError, match="planted"):
            network.train_step(inputs, targets)
    assert torch.get_num_threads() == 2
    assert np.isfinite(network.train_step(inputs, targets).loss)


def test_training_goes_on_after_the_main_thread_has_ended() -> None:
    program = (
        "import sys, threading\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "import pytest\n"
        "from with_torch.threads_support import small_network, some_symbols\n"
        "from with_torch.small_halves import divide_every_batch\n"
        "divide_every_batch(pytest.MonkeyPatch())\n"
        "def train():\n"
        "    threading.main_thread().join()\n"
        "    print(small_network(2).train_step(some_symbols(1), some_symbols(2)).loss)\n"
        "threading.Thread(target=train).start()\n"
    )
    tests = str(Path(__file__).parents[1])
    ended = subprocess.run(
        [sys.executable, "-c", program, tests], check=False, capture_output=True, text=True
    )
    assert np.isfinite(float(ended.stdout)), ended.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system can't fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    divide_every_batch(monkeypatch)
    network, inputs, targets = small_network(2, dropout=0), some_symbols(1), some_symbols(2)
    before = network.gradients(inputs, targets)[1]
    process = os.fork()
    if not process:
        status = 1
        try:  # PyTorch's own threads do not survive a fork: only what the halves compute works here
            status = 0 if np.array_equal(network.gradients(inputs, targets)[1], before) else 2
        finally:
            os._exit(status)
    waiting = threading.Timer(_TIMEOUT_SECONDS, os.kill, (process, 9))
    waiting.start()
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    finally:
        waiting.cancel()


#: Units, sequences, time steps, threads, and whether the batch is divided.
SHAPES = [
    (128, 64, 32, 1, True),
    (128, 64, 32, 2, True),
    (128, 64, 32, 3, True),
    (128, 64, 32, 4, False),  # for PyTorch to divide
    (128, 8, 300, 2, False),  # few sequences
    (128, 16, 4, 2, False),  # little work
    (256, 16, 64, 2, False),  # few sequences for so many units
]


@needs_limits
@pytest.mark.parametrize(("units", "batch_size", "num_steps", "threads", "is_divided"), SHAPES)
def test_large_batches_are_divided(
    units: int,
    batch_size: int,
    num_steps: int,
    threads: int,
    is_divided: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from charkit import plugins
    from charkit_torch import backend as module

    calls: list[int] = []
    results = module.HalfThreads.results

    def counting(self: Any, halves: Any) -> Any:
        calls.append(len(halves))
        return results(self, halves)

    monkeypatch.setattr(module.HalfThreads, "results", counting)
    model = ModelConfig(vocabulary_size=VOCABULARY_SIZE, lstm_size=units, num_layers=1)
    made = plugins.create("torch", threads=threads)
    network = CharRNN.from_config(model, OptimizerConfig(), made, batch_size=batch_size, num_steps=num_steps)
    symbols = np.zeros((batch_size, num_steps), np.int32)
    network.train_step(symbols, symbols)
    network.nats(symbols, symbols, network.initial_state(batch_size))
    assert calls == 2 * is_divided * [2]
    made.divides_batches = False
    network.train_step(symbols, symbols)
    assert calls == 2 * is_divided * [2]


def test_one_thread_gives_the_bits_of_two_at_a_usual_size() -> None:
    from charkit import plugins

    model = ModelConfig(vocabulary_size=VOCABULARY_SIZE, lstm_size=128, num_layers=1)
    symbols = np.random.default_rng(1).integers(0, VOCABULARY_SIZE, (64, 32)).astype(np.int32)
    weights = []
    for threads in (1, 2):
        made = plugins.create("torch", threads=threads)
        network = CharRNN.from_config(model, OptimizerConfig(), made, batch_size=64, num_steps=32)
        network.train_step(symbols, symbols[::-1].copy())
        weights.append(network.weights())
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name], err_msg=name)
