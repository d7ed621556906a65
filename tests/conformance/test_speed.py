"""What a slow backend is advised: each pattern is planted, found by its numbers, and not found elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from mmap import mmap

import pytest

from charkit.machine import peak_bytes, resident_bytes
from charkit.testing.speed import Calls, CallsAt, Copies, Habits, Phase, Size, advise
from charkit.testing.speed.observe import Bench, observe_habits
from conformance import slow_backends
from conformance.slow_backends import SLOW, Planted

TINY = Size(2, 16, 4, 6)
WELL = Habits(
    size=TINY,
    weights_bytes=1_000_000,
    constant=Phase(12, 0.002, 0),
    changing=Phase(12, 0.0022, 0),
    masked=Phase(12, 0.003, 0),
    alternating=Phase(24, 0.0025, 0),
    predictions=Phase(12, 0.0001, 0),
    step_copies=Copies(5000.0, 5000),
    prediction_copies=Copies(340.0, 340),
    step_seconds=(0.002,) * 300,
    resident_bytes=(100_000_000,) * 300,
)


def observed(backend: Planted, *, steps: int = 60) -> Habits:
    return observe_habits(backend, TINY, clock=backend.clock, steps=steps)


def patterns(habits: Habits, calls: tuple[CallsAt, ...] = ()) -> list[str]:
    return [advice.pattern for advice in advise(habits, calls)]


@pytest.mark.parametrize("pattern", SLOW)
def test_a_planted_slow_pattern_is_found_and_no_other(pattern: str) -> None:
    assert patterns(observed(SLOW[pattern](), steps=300 if pattern == "growing time" else 60)) == [pattern]


@pytest.mark.parametrize("backend", [Planted, slow_backends.Compiling, slow_backends.Wrapped])
def test_what_the_slow_ones_are_made_from_gets_no_advice(backend: type[Planted]) -> None:
    assert patterns(observed(backend())) == []


def test_time_alone_shows_retracing_too() -> None:
    (advice,) = advise(observed(slow_backends.SlowAtEachRate()), ())
    assert advice.pattern == "retracing for each learning rate"
    assert advice.text.startswith("a step takes 400 ms instead of 1 ms when the learning rate changes; ")


def test_advice_gives_its_numbers_and_what_to_do() -> None:
    (advice,) = advise(observed(slow_backends.RetracingEachRate()), ())
    assert advice.text.startswith(
        "the model is traced 24 times in 12 steps, and a step takes 1001 ms instead of 1 ms"
    )
    assert "compute with the tensors in Rates" in advice.text
    (advice,) = advise(observed(slow_backends.KeepingMemory()), ())
    assert advice.text.startswith("each of 60 steps adds ")
    assert advice.text.endswith("detach them")


def test_habits_cross_between_processes() -> None:
    habits = observed(slow_backends.CopyingInSteps())
    assert Habits.from_json(json.loads(json.dumps(asdict(habits)))) == habits


def test_the_core_asks_for_exactly_what_is_expected() -> None:
    habits = observed(slow_backends.Compiling())
    assert habits.step_copies.moved_bytes == habits.step_copies.expected_bytes
    assert habits.prediction_copies.moved_bytes == habits.prediction_copies.expected_bytes


# ---- weights prepared on each call --------------------------------------------------------------------------

MODELS = (Size(2, 16, 2, 2), Size(2, 64, 2, 2))


def calls(backend: type[slow_backends.Reading], baseline: type[slow_backends.Reading]) -> tuple[CallsAt, ...]:
    def timed(of: type[slow_backends.Reading], size: Size) -> Calls:
        made = of()
        bench = Bench(made, size, made.clock)
        bench.warm_up()
        return bench.calls(0.01)

    return tuple(CallsAt(size.model, timed(backend, size), timed(baseline, size)) for size in MODELS)


def test_weights_that_are_prepared_at_each_call_are_found() -> None:
    measured = calls(slow_backends.Preparing, slow_backends.Reading)
    (advice,) = advise(WELL, measured)
    assert advice.pattern == "weights prepared on each call"
    assert "as the weights grow, its time grows 11.0 times as much as NumPy's" in advice.text
    assert patterns(WELL, calls(slow_backends.Reading, slow_backends.Reading)) == []


def test_a_call_that_is_slow_whatever_the_weights_prepares_none() -> None:
    slow = CallsAt("2x128", Calls(0.004, 0.005, 16), Calls(0.0001, 0.0005, 16))
    assert patterns(WELL, (slow, replace(slow, backend=Calls(0.0041, 0.0055, 16)))) == []
    assert patterns(WELL, (replace(slow, baseline=None), replace(slow, baseline=None))) == []


# ---- thresholds ---------------------------------------------------------------------------------------------


def test_a_backend_that_does_well_gets_no_advice() -> None:
    assert patterns(WELL) == []


def test_bounds_lie_between_noise_and_a_pattern() -> None:
    rising = tuple(100_000_000 + 20_000 * step for step in range(300))
    assert patterns(replace(WELL, resident_bytes=rising)) == []
    assert patterns(replace(WELL, resident_bytes=tuple(3 * count for count in rising))) == ["growing memory"]
    step_up = (100_000_000,) * 20 + (200_000_000,) * 280  # what is made once is no growth
    assert patterns(replace(WELL, resident_bytes=step_up)) == []
    slower = (0.002,) * 150 + (0.0028,) * 150
    assert patterns(replace(WELL, step_seconds=slower)) == []
    warming = (0.5,) * 10 + (0.002,) * 290
    assert patterns(replace(WELL, step_seconds=warming)) == []
    collected = ((0.002,) * 49 + (0.02,)) * 6
    assert patterns(replace(WELL, step_seconds=collected)) == []
    few = Copies(5000.0 + 90_000, 5000)
    assert patterns(replace(WELL, step_copies=few)) == []


# ---- the bench itself ---------------------------------------------------------------------------------------


def test_rates_are_counted_by_the_clock() -> None:
    backend = slow_backends.Wrapped()  # a millisecond a call
    bench = Bench(backend, TINY, backend.clock)
    bench.warm_up()
    assert bench.train(0.1) == pytest.approx(TINY.symbols * 1000, rel=0.01)
    assert bench.sample(0.1) == pytest.approx(1000, rel=0.01)


def test_memory_is_that_of_this_process() -> None:
    before = resident_bytes()
    with mmap(-1, 30_000_000) as held:  # new pages: an allocation could reuse memory that was freed before
        held.write(b"x" * len(held))
        assert resident_bytes() - before > 20_000_000
        assert peak_bytes() >= resident_bytes() > len(held)
