"""Planted slowness: the NumPy backend with one slow pattern, by counts and by a clock of its own, not by real time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from mmap import mmap
from typing import Any

import numpy as np

from charkit.config import ModelConfig, OptimizerConfig
from charkit_numpy.backend import NumpyBackend


class FakeClock:
    """Seconds that pass only when something ticks; each reading takes a microsecond."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        self.seconds += 1e-6
        return self.seconds

    def tick(self, seconds: float) -> None:
        self.seconds += seconds


class Planted(NumpyBackend):
    """A NumPy backend with a clock that a test reads."""

    def __init__(self) -> None:
        super().__init__(precision="float32", device="cpu", threads=1)
        self.clock = FakeClock()


# ---- compiling, in the way of a framework that looks at a function before it runs it ------------------------


class Traced(np.ndarray[Any, Any]):
    """An array that a function is called with while it is traced."""


class Compiling(Planted):
    """Traces a function once for each signature; ``signature`` says what is one."""

    def signature(self, arguments: Sequence[Any]) -> object:
        return tuple(type(argument) for argument in arguments)

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        known: list[object] = []

        def run(*arguments: Any) -> Any:
            signature = self.signature(arguments)
            if signature not in known:
                known.append(signature)
                self.clock.tick(1.0)
                function(*(_traced(argument) for argument in deepcopy(arguments)))
            self.clock.tick(0.001)
            return function(*arguments)

        run.forget = known.clear  # type: ignore[attr-defined]
        return run


def _traced(argument: Any) -> Any:
    is_symbols = isinstance(argument, np.ndarray) and argument.dtype == np.int32
    return argument.view(Traced) if is_symbols else argument


class RetracingEachStep(Compiling):
    """Compiles at each step anew."""

    def signature(self, arguments: Sequence[Any]) -> object:
        return object() if len(arguments) == 7 else super().signature(arguments)


class RetracingEachRate(Compiling):
    """Takes the learning rate for a constant."""

    def signature(self, arguments: Sequence[Any]) -> object:
        rate = float(arguments[2].learning_rate) if len(arguments) == 7 else 0.0
        return rate, super().signature(arguments)


class SlowAtEachRate(Planted):
    """Is slow at each new learning rate, with nothing to be seen but the time."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        last: list[float] = [0.0]

        def run(*arguments: Any) -> Any:
            rate = float(arguments[2].learning_rate) if len(arguments) == 7 else 0.0
            self.clock.tick(0.001 if rate in (0.0, last[0]) else 0.4)
            last[0] = rate or last[0]
            return function(*arguments)

        return run


class RetracingForMasks(Compiling):
    """Keeps only what was compiled last."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        run = super().compile(function, consumes=consumes)
        last: list[object] = [None]

        def forgetful(*arguments: Any) -> Any:
            signature = self.signature(arguments)
            if signature != last[0]:
                run.forget()
            last[0] = signature
            return run(*arguments)

        return forgetful


class RetracingPredictions(Compiling):
    """Compiles each prediction anew."""

    def signature(self, arguments: Sequence[Any]) -> object:
        return object() if len(arguments) == 3 else super().signature(arguments)


# ---- growth -------------------------------------------------------------------------------------------------


class Wrapped(Planted):
    """Calls ``around`` at each training step."""

    def compile(self, function: Any, *, consumes: Sequence[str] = ()) -> Any:
        def run(*arguments: Any) -> Any:
            self.clock.tick(0.001)
            if len(arguments) == 7:
                self.around()
            return function(*arguments)

        return run

    def around(self) -> None:
        """Does nothing here."""


class KeepingMemory(Wrapped):
    """Keeps some memory of each step, in pages that the process did not have before."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[mmap] = []

    def around(self) -> None:
        pages = mmap(-1, 320_000)
        pages.write(b"1" * 320_000)
        self._kept.append(pages)


class SlowingDown(Wrapped):
    """Has more to do at each step."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0

    def around(self) -> None:
        self._steps += 1
        self.clock.tick(0.0001 * self._steps)


class SlowNowAndThen(SlowingDown):
    """Takes long at every tenth step."""

    def around(self) -> None:
        self._steps += 1
        self.clock.tick(0.05 if self._steps % 10 == 0 else 0.0)


# ---- copies and preparation ---------------------------------------------------------------------------------


class CopyingInSteps(Planted):
    """Updates weights that went through NumPy."""

    def build_optimizer(self, optimizer: OptimizerConfig) -> Any:
        update = super().build_optimizer(optimizer)

        def copying(weights: Any, moments: Any, gradients: Any, rates: Any) -> Any:
            gradients = {name: self.tensor(self.numpy(gradient)) for name, gradient in gradients.items()}
            return update(weights, moments, gradients, rates)

        return copying


class CopyingInPredictions(Planted):
    """Predicts with weights that went through NumPy."""

    def build_lstm(self, model: ModelConfig) -> Any:
        lstm = super().build_lstm(model)

        def copying(weights: Any, symbols: Any, *rest: Any) -> Any:
            if symbols.shape == (1, 1):
                weights = {name: self.tensor(self.numpy(weight)) for name, weight in weights.items()}
            return lstm(weights, symbols, *rest)

        return copying


class Reading(Planted):
    """Reads all weights at each symbol, as any backend must; its clock counts only that."""

    preparation = 0.0

    def build_lstm(self, model: ModelConfig) -> Any:
        lstm = super().build_lstm(model)

        def timed(weights: Any, symbols: Any, *rest: Any) -> Any:
            count = sum(weight.nbytes for weight in weights.values())
            self.clock.tick(1e-4 + 1e-10 * count * (symbols.shape[1] + self.preparation))
            return lstm(weights, symbols, *rest)

        return timed


class Preparing(Reading):
    """Prepares the weights at each call, which takes ten times as long as reading them."""

    preparation = 10.0


SLOW: dict[str, Callable[[], Planted]] = {
    "retracing for each step": RetracingEachStep,
    "retracing for each learning rate": RetracingEachRate,
    "retracing with and without masks": RetracingForMasks,
    "retracing for each prediction": RetracingPredictions,
    "growing memory": KeepingMemory,
    "growing time": SlowingDown,
    "slow steps": SlowNowAndThen,
    "copies in a training step": CopyingInSteps,
    "copies in a prediction": CopyingInPredictions,
}
