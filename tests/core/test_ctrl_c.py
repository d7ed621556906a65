"""Ctrl-C during a training step takes effect after it, since a backend may consume the weights that it updates."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial
from types import FrameType
from typing import Any

import numpy as np
import pytest

from charkit import CharRNN
from charkit.system.signals import postponing_ctrl_c
from charkit_numpy.backend import NumpyBackend
from charrnn_support import assert_equal, batch, model


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """Python's own handler during the test, whatever it does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press(times: int = 1) -> None:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)


class ConsumingBackend(NumpyBackend):
    """Overwrites the old weights and moments before it returns the new ones; Ctrl-C is pressed in between."""

    presses = 0

    def compile(self, function: Any, *, consumes: Any = ()) -> Callable[..., Any]:
        compiled = super().compile(function, consumes=consumes)
        if not consumes:
            return compiled

        def call(weights: Any, moments: Any, *rest: Any) -> Any:
            results = deepcopy(compiled(deepcopy(weights), deepcopy(moments), *rest))
            for array in [*weights.values(), *moments.exp_avg.values(), *moments.exp_avg_sq.values()]:
                array[...] = np.nan
            press(self.presses)
            return results

        return call


def train(network: CharRNN) -> None:
    network.train_step(*batch())


def apply(network: CharRNN) -> None:
    gradients, _, state = network.gradients(*batch())
    network.apply_gradients(gradients, state=state)


@pytest.mark.parametrize("step", [train, apply])
def test_an_interrupted_step_is_completed(step: Callable[[CharRNN], None]) -> None:
    backend = ConsumingBackend(precision="float32", device="cpu", threads=1)
    interrupted, undisturbed = model(backend=backend, threads=None), model()
    backend.presses = 1
    with pytest.raises(KeyboardInterrupt):
        step(interrupted)
    step(undisturbed)
    assert interrupted.step == 1
    assert_equal(interrupted, undisturbed)
    backend.presses = 0
    step(interrupted)
    step(undisturbed)
    assert_equal(interrupted, undisturbed)


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    done = []

    def work() -> None:
        press(2)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        postponing_ctrl_c(work)
    assert not done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_handler_that_returns_is_called_for_each_ctrl_c(times: int) -> None:
    calls = []

    def note(number: int, _frame: FrameType | None) -> None:
        calls.append(number)

    signal.signal(signal.SIGINT, note)
    postponing_ctrl_c(partial(press, times))
    assert calls == [signal.SIGINT] * times
    assert signal.getsignal(signal.SIGINT) is note


def test_an_error_during_the_call_is_the_context_of_the_interruption() -> None:
    def fail() -> None:
        press()
        raise ArithmeticError("of the call")

    with pytest.raises(KeyboardInterrupt) as caught:
        postponing_ctrl_c(fail)
    assert isinstance(caught.value.__context__, ArithmeticError)
    with pytest.raises(ArithmeticError):
        postponing_ctrl_c(lambda: 1 / 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_the_call_sets_stays() -> None:
    def other(_number: int, _frame: FrameType | None) -> None:
        pass

    postponing_ctrl_c(lambda: signal.signal(signal.SIGINT, other))
    assert signal.getsignal(signal.SIGINT) is other


def test_an_ignored_ctrl_c_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert postponing_ctrl_c(lambda: press() or signal.getsignal(signal.SIGINT)) is signal.SIG_IGN


def test_another_thread_leaves_the_handler_alone() -> None:
    found: list[Any] = []
    thread = threading.Thread(
        target=postponing_ctrl_c, args=(lambda: found.append(signal.getsignal(signal.SIGINT)),)
    )
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]
