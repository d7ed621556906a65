"""Calls of the PyTorch backend that use one thread, and how PyTorch's threads are limited."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN
from with_torch.small_halves import divide_every_batch
from with_torch.threads_support import (
    VOCABULARY_SIZE,
    needs_limits,
    number_of_a_new_thread,
    small_network,
    some_symbols,
)

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("number_of_threads")]

_INTERRUPTIONS = 3000


def _threads_of_lstm(network: CharRNN, monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, int]]:
    """The numbers of PyTorch's threads within the LSTM of a step, an evaluation and an advance."""
    import torch

    seen: set[tuple[str, int]] = set()
    lstm, what = torch.lstm, "train"

    def noting(*arguments: Any) -> Any:
        seen.add((what, torch.get_num_threads()))
        return lstm(*arguments)

    batch_size, num_steps = network.batch_size, network.num_steps
    symbols = np.zeros((batch_size, num_steps), np.int32)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "lstm", noting)
        network.train_step(symbols, symbols)
        what = "evaluate"
        network.nats(symbols, symbols, network.initial_state(batch_size))
        what = "advance"
        network.advance(symbols, network.initial_state(batch_size))
    return seen


#: Units, time steps, the backend's threads, and those that PyTorch uses for two sequences.
SMALL_SHAPES = [
    (128, 64, 2, 1),
    (128, 64, 3, 1),
    (128, 64, 4, 4),  # for PyTorch to divide
    (128, 512, 2, 2),  # much work
    (160, 4, 2, 2),  # wide layers
]


@needs_limits
@pytest.mark.parametrize(("units", "num_steps", "threads", "expected"), SMALL_SHAPES)
def test_small_batches_use_one_thread(
    units: int, num_steps: int, threads: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    network = CharRNN(
        VOCABULARY_SIZE, 2, num_steps, lstm_size=units, num_layers=1, backend="torch", threads=threads
    )
    seen = _threads_of_lstm(network, monkeypatch)
    assert seen == {(what, expected) for what in ("train", "evaluate", "advance")}
    assert torch.get_num_threads() == number_of_a_new_thread() == threads


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch shows its functions elsewhere, or not at all")
def test_threads_can_be_limited() -> None:
    from charkit_torch import threads

    assert threads.can_limit()


def test_without_limits_pytorch_divides_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_torch import backend, threads

    monkeypatch.setattr(threads, "_setters", lambda: None)
    monkeypatch.setattr(backend.HalfThreads, "results", None)
    divide_every_batch(monkeypatch)
    assert {number for _, number in _threads_of_lstm(small_network(2), monkeypatch)} == {2}


def test_a_function_of_another_openmp_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    from charkit_torch import threads

    class Other:
        """A library whose functions have no effect on PyTorch."""

        omp_set_num_threads = MKL_Set_Num_Threads_Local = staticmethod(lambda number: 0)

    monkeypatch.setattr(threads, "_libraries", lambda: iter([Other()]))
    assert threads._setters.__wrapped__() is None


def _mkl_number(new: int) -> int:
    """Sets MKL's number of threads for this thread, and returns the number before; 0: that of the process."""
    from charkit_torch import threads

    setters = threads._setters()
    assert setters is not None
    return setters.mkl(new)


@pytest.fixture
def mkl_number() -> Iterator[Callable[[int], int]]:
    """Sets MKL's number, which is put back after the test."""
    import torch

    if not torch.backends.mkl.is_available():
        pytest.skip("this PyTorch has no MKL")
    before = _mkl_number(0)
    yield _mkl_number
    _mkl_number(before)


@needs_limits
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("is_divided", [True, False])
def test_mkl_gets_its_number_of_threads_back(
    before: int, is_divided: bool, mkl_number: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if is_divided:
        divide_every_batch(monkeypatch)
    network, lstm, within = small_network(2), torch.lstm, list[int]()

    def noting(*arguments: Any) -> Any:
        number = mkl_number(1)
        mkl_number(number)
        within.append(number)
        return lstm(*arguments)

    monkeypatch.setattr(torch, "lstm", noting)
    mkl_number(before)
    network.train_step(some_symbols(1), some_symbols(2))
    assert set(within) == {1}
    assert mkl_number(0) == before


@needs_limits
def test_mkl_is_limited_where_openmp_already_is(mkl_number: Callable[[int], int]) -> None:
    from threadpoolctl import threadpool_limits

    from charkit_torch.threads import on_one_thread

    mkl_number(2)
    with threadpool_limits(1, "openmp"):
        assert on_one_thread(lambda: mkl_number(1)) == 1
    assert mkl_number(0) == 2


@needs_limits
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no timers of a process")
def test_an_interruption_leaves_the_numbers_as_they_are(mkl_number: Callable[[int], int]) -> None:
    import torch

    from charkit_torch.threads import on_one_thread

    torch.set_num_threads(2)
    mkl_number(3)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for attempt in range(_INTERRUPTIONS):
            with suppress(KeyboardInterrupt):
                signal.setitimer(signal.ITIMER_REAL, (1 + attempt % 50) * 2e-6)
                while True:
                    on_one_thread(int)
            assert (torch.get_num_threads(), mkl_number(3)) == (2, 3)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
