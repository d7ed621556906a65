"""``toolkit verify --speed``: processes beside each other, a table that fits, advice, and backends that fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from charkit.testing import speed
from charkit.testing.speed import Size, measure_speed
from cli_support import Install, Toolkit

PLUGIN = """
from charkit import BackendInfo, hookimpl
@hookimpl
def charkit_backend():
    return BackendInfo("slow", "MODULE.backend:SlowBackend", "copies its weights through NumPy")
"""
#: A backend whose predictions and steps go through ``around``; ``AROUND`` is replaced by its body.
BACKEND = """
import os, sys
from charkit_numpy.backend import NumpyBackend

class SlowBackend(NumpyBackend):
    name = "slow"
    def build_lstm(self, model):
        lstm = super().build_lstm(model)
        def slow(weights, *rest):
            AROUND
            return lstm(weights, *rest)
        return slow
"""
COPYING = 'print("noise"); weights = {name: self.tensor(self.numpy(w)) for name, w in weights.items()}'


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures models that take milliseconds."""
    sizes = (Size(1, 8, 4, 6), Size(1, 16, 4, 6))
    small = partial(
        measure_speed, sizes=sizes, habits_size=sizes[0], rounds=2, round_seconds=0.02, growth_steps=30
    )
    monkeypatch.setattr(speed, "measure_speed", small)


@pytest.fixture
def plant(install: Install, monkeypatch: pytest.MonkeyPatch, tiny: None) -> Callable[[str], None]:
    """Installs the backend ``slow`` with that body."""
    return lambda around: install("slow", PLUGIN, BACKEND.replace("AROUND", around))


def test_the_table_and_the_advice(toolkit: Toolkit, plant: Callable[[str], None]) -> None:
    plant(COPYING)
    outcome = toolkit.ok("verify", "--backend", "slow", "--speed", "--threads", "1")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("slow: speed in float32 on cpu, 1 thread, median of 2 rounds (numpy ")
    rows = [line.split() for line in lines if " slow " in line or line.strip().startswith("numpy ")][:4]
    assert [row[:5] for row in rows[::2]] == [[f"1x{size},", "4", "x", "6", "slow"] for size in (8, 16)]
    assert [row[0] for row in rows[1::2]] == ["numpy", "numpy"]
    assert [len(row) - row.index(name) for row, name in zip(rows, ["slow", "numpy"] * 2, strict=True)] == [
        7
    ] * 4
    assert any(line.startswith("over 30 steps at 1x8, 4 x 6: memory changes by ") for line in lines)
    (advice,) = [line for line in lines if "copies in a prediction: " in line]
    assert "a prediction moves " in advice
    assert any("copies in a training step: " in line for line in lines)
    assert lines[-1] == "only speed was measured; to check correctness: toolkit verify --backend slow"
    assert "noise" not in outcome.out + outcome.err


def test_json(toolkit: Toolkit, plant: Callable[[str], None]) -> None:
    plant(COPYING)
    answer = toolkit.json("verify", "--backend", "slow", "--speed")
    assert answer["backend"] == "slow"
    assert [size["size"]["lstm_size"] for size in answer["sizes"]] == [8, 16]
    for size in answer["sizes"]:
        assert size["training_ratio"] > 0
        assert size["sampling_ratio"] > 0
        for one in (size["backend"], size["baseline"]):
            assert len(one["training"]) == len(one["sampling"]) == 2
            assert one["peak_memory_bytes"] > 10_000_000
    assert {"copies in a training step", "copies in a prediction"} <= {
        one["pattern"] for one in answer["advice"]
    }
    assert answer["habits"]["growth_steps"] == 30


def test_numpy_is_measured_beside_nothing(toolkit: Toolkit, tiny: None) -> None:
    answer = toolkit.json("verify", "--speed")
    assert all(size["baseline"] is None and size["training_ratio"] is None for size in answer["sizes"])
    assert "copies" not in str(answer["advice"])


@pytest.mark.parametrize(
    ("around", "words"),
    [
        ("raise OSError('no beads')", "slow: OSError: no beads"),
        ("print('lost', file=sys.stderr); os._exit(3)", "slow: its process ended with status 3: lost"),
        ("raise MemoryError('all of it')", "slow: out of memory: all of it"),
    ],
)
def test_one_that_fails_is_no_traceback(
    toolkit: Toolkit, plant: Callable[[str], None], around: str, words: str
) -> None:
    plant(around)
    measure = ("verify", "--backend", "slow", "--speed", "--threads", "1")  # so that it fails once
    outcome = toolkit(*measure)
    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err == (
        f"error: the speed could not be measured: {words}; to check the backend, run toolkit verify --backend slow\n"
    )
    as_json = toolkit(*measure, "--json")
    assert (as_json.status, as_json.out) == (1, f'{{"backend": "slow", "error": "{words}"}}\n')


def test_it_chooses_among_no_checks(toolkit: Toolkit) -> None:
    message = toolkit.error("verify", "--speed", "--stage", "build")
    assert message == "--stage is for checks, and --speed runs none; leave out one of the two options"


def test_no_process_is_left(toolkit: Toolkit, plant: Callable[[str], None]) -> None:
    plant("raise OSError('no beads')")
    before = _children()
    assert toolkit("verify", "--backend", "slow", "--speed").status == 1
    assert _children() <= before


def _children() -> set[str]:
    """The processes that this thread has started and that are there; other tests keep some. Empty off Linux."""
    listed = Path("/proc/thread-self/children")
    return set(listed.read_text().split()) if listed.exists() else set()
