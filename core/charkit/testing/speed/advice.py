"""Advice on known slow patterns that the measurements show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from charkit.testing.speed.measurements import CallsAt, Copies, Habits, Phase

#: A step with another learning rate, or with masks after one without, that takes this many times as long was compiled.
RETRACING_RATIO = 3.0
#: Growth of memory in bytes per step beyond the noise of an allocator.
GROWTH_BYTES = 50_000
#: Steps that become this many times slower carry something that grows.
SLOWDOWN = 2.0
#: Bytes copied beyond those that the core requests, as a share of the weights.
COPIES_SHARE = 0.1
#: The limits of the additional time of a prediction with a large model relative to NumPy's, and of the time of a call
#: without its symbols relative to one symbol.
CALL_TO_BASELINE, CALL_TO_SYMBOL = 3.0, 4.0
#: A slow step takes this many times the median, and this share of slow steps is no coincidence.
SLOW_STEP, SLOW_SHARE = 5.0, 0.03
#: Steps at the beginning that may be slow.
WARM_UP_STEPS = 10


@dataclass(frozen=True)
class Advice:
    """The name of a slow pattern, and a line with the numbers that show it and the remedy."""

    pattern: str
    text: str


def advise(habits: Habits, calls: Sequence[CallsAt]) -> list[Advice]:
    """Advice in order of importance. ``calls`` are those of models of increasing size."""
    found = [
        *_retracing(habits),
        *_growth(habits),
        *_slow_steps(habits),
        *_copies("a training step", habits.step_copies, habits.weights_bytes),
        *_copies("a prediction", habits.prediction_copies, habits.weights_bytes),
        *_preparation(calls),
    ]
    return [Advice(pattern, text) for pattern, text in found]


def _retracing(habits: Habits) -> Iterator[tuple[str, str]]:
    constant, changing = habits.constant, habits.changing
    if constant.traces >= constant.steps / 2:
        yield (
            "retracing for each step",
            f"the model is traced {constant.traces} times in {constant.steps} identical steps; compile once, and call "
            "the compiled function",
        )
    elif _is_traced(changing, constant):
        yield (
            "retracing for each learning rate",
            f"{_cost(changing, constant)} when the learning rate changes; compute with the tensors in Rates, not with "
            "Python numbers, which become constants of the compiled function",
        )
    expected = Phase(
        habits.alternating.steps, (constant.seconds + habits.masked.seconds) / 2, constant.traces
    )
    if constant.traces < constant.steps / 2 and _is_traced(habits.alternating, expected):
        yield (
            "retracing with and without masks",
            f"{_cost(habits.alternating, expected)} when masks are given at every other step; cache two compiled "
            "functions, one for masks and one for None",
        )
    predictions = habits.predictions
    if predictions.traces >= predictions.steps / 2:
        yield (
            "retracing for each prediction",
            f"the model is traced {predictions.traces} times in {predictions.steps} predictions of the same shape; "
            "compile once for each shape, and call the compiled function",
        )


def _is_traced(phase: Phase, expected: Phase) -> bool:
    return (
        phase.traces - expected.traces >= phase.steps / 3
        or phase.seconds >= RETRACING_RATIO * expected.seconds
    )


def _cost(phase: Phase, expected: Phase) -> str:
    traced = (
        f"the model is traced {'once' if phase.traces == 1 else f'{phase.traces} times'} in {phase.steps} steps, and "
        if phase.traces
        else ""
    )
    return f"{traced}a step takes {_ms(phase.seconds)} instead of {_ms(expected.seconds)}"


def _growth(habits: Habits) -> Iterator[tuple[str, str]]:
    grown = habits.growth_bytes
    steps = len(habits.step_seconds)
    if grown >= GROWTH_BYTES:
        yield (
            "growing memory",
            f"each of {steps} steps adds {_kb(grown)}; the state and the nats that a step returns must not keep "
            "their graph: detach them",
        )
    if habits.slowdown >= SLOWDOWN:
        yield (
            "growing time",
            f"a step takes {habits.slowdown:.1f} times as long after {steps} steps as at first; each step passes on "
            "something that grows, such as a graph that the state keeps: detach the state",
        )


def _slow_steps(habits: Habits) -> Iterator[tuple[str, str]]:
    seconds = habits.step_seconds[WARM_UP_STEPS:]
    if not seconds or habits.slowdown >= SLOWDOWN:
        return
    usual = median(seconds)
    slow = [step_seconds for step_seconds in seconds if step_seconds > SLOW_STEP * usual]
    if len(slow) >= SLOW_SHARE * len(seconds):
        yield (
            "slow steps",
            f"{len(slow)} of {len(seconds)} identical steps took {_ms(median(slow))} instead of {_ms(usual)}; find "
            "out whether compilation or garbage collection happens in those steps",
        )


def _copies(what: str, copies: Copies, weights_bytes: int) -> Iterator[tuple[str, str]]:
    extra = copies.moved_bytes - copies.expected_bytes
    if extra > max(copies.expected_bytes, COPIES_SHARE * weights_bytes):
        yield (
            f"copies in {what}",
            f"{what} moves {_kb(copies.moved_bytes)} through tensor() and numpy(), of which the core requests "
            f"{_kb(copies.expected_bytes)}; the weights take up {_kb(weights_bytes)}; compute with the framework's "
            "tensors throughout",
        )


def _preparation(calls: Sequence[CallsAt]) -> Iterator[tuple[str, str]]:
    """Copying or reordering weights takes time in proportion to their size, like reading them."""
    if len(calls) < 2:
        return
    small, large = calls[0], calls[-1]
    if small.baseline is None or large.baseline is None:
        return
    grown = large.backend.one_symbol_seconds - small.backend.one_symbol_seconds
    usual = large.baseline.one_symbol_seconds - small.baseline.one_symbol_seconds
    by_call = large.backend.call_seconds >= CALL_TO_SYMBOL * large.backend.symbol_seconds
    if by_call and usual > 0 and grown >= CALL_TO_BASELINE * usual:
        yield (
            "weights prepared on each call",
            f"a prediction takes {_ms(large.backend.one_symbol_seconds)} at {large.model}, and "
            f"{_ms(small.backend.one_symbol_seconds)} at {small.model}: as the weights grow, its time grows "
            f"{grown / usual:.1f} times as much as NumPy's; cache copied, transposed or packed weights for the "
            "lifetime of their dictionary",
        )


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"


def _kb(count: float) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
