"""Observes a backend inside its process: speeds at one size, and habits at a small one."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from charkit.backend import Array, Backend, float_dtype
from charkit.charrnn import CharRNN
from charkit.config import ModelConfig, OptimizerConfig
from charkit.machine import resident_bytes
from charkit.testing.speed.measurements import GROWTH_STEPS, Calls, Copies, Habits, Phase, Size
from charkit.weights import weight_shapes

Clock = Callable[[], float]
#: Symbols after the first one in a long call.
MORE_SYMBOLS = 16
#: Steps or predictions of each phase.
PHASE_STEPS = 12
#: Growth is measured no longer than this, and up to this memory.
GROWTH_SECONDS, GROWTH_LIMIT_BYTES = 60.0, 2_000_000_000


class Bench:
    """A model of one size on a backend, to be timed with ``clock`` in seconds."""

    def __init__(self, backend: Backend[Any], size: Size, clock: Clock = time.perf_counter) -> None:
        self.size, self.backend, self._clock = size, backend, clock
        self.network = CharRNN.from_config(
            ModelConfig(
                vocabulary_size=size.vocabulary_size, lstm_size=size.lstm_size, num_layers=size.num_layers
            ),
            OptimizerConfig(),
            backend,
            batch_size=size.batch_size,
            num_steps=size.num_steps,
        )
        draws = np.random.default_rng(0)
        shape = (8, size.batch_size, size.num_steps)
        self._symbols = draws.integers(0, size.vocabulary_size, shape, dtype=np.int32)
        self.masks = draws.random((size.num_layers, *shape[1:], size.lstm_size)) < 0.5
        self._stream = self.network.initial_state(1)
        self._next = np.zeros((1, 1), np.int32)

    def step(self, **options: Any) -> float:
        """One training step; returns its loss, which asynchronous frameworks then have computed."""
        return self.network.train_step(*self._batch(), **options).loss

    def _batch(self) -> tuple[Array, Array]:
        number = self.network.step % len(self._symbols)
        return self._symbols[number], self._symbols[number - 1]

    def predict(self) -> None:
        """Predicts the likeliest symbol of a single stream and feeds it back."""
        logits, self._stream = self.network.predict(self._next, self._stream)
        self._next = np.argmax(logits, axis=1).astype(np.int32).reshape(1, 1)

    def warm_up(self) -> float:
        """Runs the first steps and predictions; returns the seconds of the first step."""
        seconds = self._timed(self.step)
        self.step()
        for _ in range(3):
            self.predict()
        return seconds

    def train(self, seconds: float) -> float:
        """Trains for at least this long; returns the characters per second."""
        return self.size.symbols * self._rate(self._steps, seconds)

    def sample(self, seconds: float) -> float:
        """Samples one stream for at least this long; returns the characters per second."""
        return self._rate(self._predictions, seconds)

    def _steps(self, count: int) -> None:
        """Trains ``count`` steps and reads the loss of the last, as training reads one occasionally."""
        for _ in range(count - 1):
            self.network.train_step(*self._batch())
        self.step()

    def _predictions(self, count: int) -> None:
        for _ in range(count):
            self.predict()

    def calls(self, seconds: float) -> Calls:
        """Times calls of the LSTM on one stream, with one symbol and with many."""
        network, counts = self.network, (1, 1 + MORE_SYMBOLS)
        symbols = [np.ones((1, count), np.int32) for count in counts]

        def advance(which: int) -> None:
            network.state_arrays(network.advance(symbols[which], self._stream))

        once = [self._timed(partial(advance, which)) for which in (0, 1, 0, 1)]  # the first two compile
        rounds = max(3, min(50, int(seconds / max(sum(once[2:]), 1e-9))))
        times = [[self._timed(partial(advance, which)) for which in (0, 1)] for _ in range(rounds)]
        one, many = (
            min(column) for column in zip(*times, strict=True)
        )  # the least disturbed by other programs
        return Calls(one, many, MORE_SYMBOLS)

    def _rate(self, action: Callable[[int], None], seconds: float) -> float:
        """Repetitions per second, in batches of doubling size until the time has passed."""
        done, count = 0, 1
        began = self._clock()
        while (elapsed := self._clock() - began) < seconds:
            action(count)
            done, count = done + count, 2 * count
        return done / elapsed

    def _timed(self, action: Callable[[], object]) -> float:
        began = self._clock()
        action()
        return self._clock() - began


class CallCounter:
    """Counts the bytes that a backend copies in either direction, and the traces of its LSTM.

    A call of the LSTM counts as a trace if the symbols have another type than ``tensor()`` returns: then a framework
    is tracing the function in order to compile it.
    """

    def __init__(self, backend: Backend[Any]) -> None:
        self.moved_bytes = self.traces = 0
        kind = type(backend.tensor(np.zeros((1, 1), np.int32)))
        tensor, numpy, build_lstm = backend.tensor, backend.numpy, backend.build_lstm

        def counted_tensor(array: Array) -> Any:
            self.moved_bytes += array.nbytes
            return tensor(array)

        def counted_numpy(value: Any) -> Array:
            array = numpy(value)
            self.moved_bytes += array.nbytes
            return array

        def counted_build(model: ModelConfig) -> Any:
            lstm = build_lstm(model)

            def counted_lstm(weights: Any, symbols: Any, state: Any, masks: Any) -> Any:
                self.traces += type(symbols) is not kind
                return lstm(weights, symbols, state, masks)

            return counted_lstm

        for name, counted in (
            ("tensor", counted_tensor),
            ("numpy", counted_numpy),
            ("build_lstm", counted_build),
        ):
            setattr(backend, name, counted)


def observe_habits(
    backend: Backend[Any],
    size: Size,
    *,
    clock: Clock = time.process_time,
    resident: Callable[[], int] = resident_bytes,
    steps: int = GROWTH_STEPS,
) -> Habits:
    """Observes tracing, copies and growth. Replaces ``tensor`` and other methods of the backend by counting ones.

    ``clock`` counts processor seconds by default, which other programs affect little.
    """
    counter = CallCounter(backend)
    bench = Bench(backend, size, clock)
    bench.warm_up()
    bench.step(masks=bench.masks)

    def phase(action: Callable[[int], object], calls: int = 1) -> Phase:
        """Repeats an action of ``calls`` calls; returns the seconds of one call."""
        before, seconds = counter.traces, []
        for number in range(PHASE_STEPS):
            began = clock()
            action(number)
            seconds.append((clock() - began) / calls)
        return Phase(PHASE_STEPS * calls, median(seconds), counter.traces - before)

    def step_with_and_without_masks(number: int) -> None:
        bench.step()
        bench.step(masks=bench.masks)

    def copies(action: Callable[[], object], expected: int) -> Copies:
        before = counter.moved_bytes
        for _ in range(PHASE_STEPS):
            action()
        return Copies((counter.moved_bytes - before) / PHASE_STEPS, expected)

    constant = phase(lambda number: bench.step())
    changing = phase(lambda number: bench.step(learning_rate=1e-3 / (2 + number)))
    masked = phase(lambda number: bench.step(masks=bench.masks))
    alternating = phase(step_with_and_without_masks, calls=2)
    predictions = phase(lambda number: bench.predict())
    floating = float_dtype(backend.precision).itemsize
    step_copies = copies(bench.step, 3 * 8 + size.symbols * (4 + 4 + floating))
    prediction_copies = copies(bench.predict, 4 + size.vocabulary_size * floating)
    step_seconds, memory = _growth(bench, clock, resident, steps)
    return Habits(
        size,
        sum(floating * int(np.prod(shape)) for shape in weight_shapes(bench.network.config).values()),
        constant, changing, masked, alternating, predictions, step_copies, prediction_copies, step_seconds, memory,
    )  # fmt: skip


def _growth(
    bench: Bench, clock: Clock, resident: Callable[[], int], steps: int
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Seconds of each step, and the memory after it; stops early if that takes too long or too much."""
    seconds: list[float] = []
    memory: list[int] = []
    bench.network.reset_state()  # carried from here on
    began = time.monotonic()
    before = resident()
    for _ in range(steps):
        start = clock()
        bench.step()
        seconds.append(clock() - start)
        memory.append(resident())
        if time.monotonic() - began > GROWTH_SECONDS or memory[-1] - before > GROWTH_LIMIT_BYTES:
            break
    return tuple(seconds), tuple(memory)
