"""The command that is recorded with a result: everything that was given, so that it gives the same result again."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from benchmarks.__main__ import main
from benchmarks.results import Measured, Result, command_line

from benchmarks import gpu

#: What takes time in a benchmark, and what stands for it.
_STUBS: dict[str, Any] = {
    "take_turns": lambda *_: None,
    "measure_limit": lambda *_: {"float32": 1.0},
    "conformance": lambda *_, **__: "",
    "exact_resume": lambda *_: "",
    "bare_step": lambda *_: lambda: None,
    "charkit_step": lambda *_: lambda: None,
    "speed": lambda *_: 1.0,
    "seconds_to_end": lambda *_: 1.0,
    "seconds_to_output": lambda *_: 1.0,
    "_peak_memory": lambda *_: "",
    "_point": lambda *_: 1.0,
    "measured": lambda *_: [Measured("charkit numpy", [[1.0]])],
}


class _Participant:
    """Does nothing."""

    def __init__(self, *_: object) -> None:
        self.name = "nobody"

    def close(self) -> None:
        """Ends nothing."""


@pytest.fixture
def text(tmp_path: Path) -> str:
    path = tmp_path / "my text.txt"
    path.write_text("a cat sat on a mat. " * 40, "utf-8")
    return str(path)


def _recorded(monkeypatch: pytest.MonkeyPatch, name: str, *given: str) -> list[Result]:
    """What the benchmark would record; nothing is measured."""
    module, results = import_module(f"benchmarks.{name}"), []
    stubs = {**_STUBS, "Participant": _Participant, "show": lambda result, _: results.append(result)}
    for stubbed, stub in stubs.items():
        if hasattr(module, stubbed):
            monkeypatch.setattr(module, stubbed, stub)
    answer = CompletedProcess([], 0, stdout='{"bytes": 1}')
    if hasattr(module, "subprocess"):
        monkeypatch.setattr(module.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(sys, "argv", ["benchmarks", name, *given])
    with suppress(SystemExit):
        main()
    return results


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("memory", ["TEXT", "--size", "tiny", "--steps", "3", "--threads", "1"]),
        ("sampling", ["--participants", "charkit numpy", "--characters", "50", "--threads", "1"]),
        ("evaluation", ["TEXT", "--sizes", "tiny", "--backends", "numpy", "--characters", "10"]),
        ("training", ["TEXT", "--sizes", "tiny", "--seconds", "0.5", "--threads", "1"]),
        ("startup", ["--backends", "numpy", "torch"]),
        ("growth", ["--backends", "numpy"]),
        ("gpu", ["--backend", "jax", "--device", "cuda:1", "--precisions", "float32"]),
    ],
)
def test_a_result_has_all_that_was_given(
    name: str, given: list[str], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [text if word == "TEXT" else word for word in given]
    results = _recorded(monkeypatch, name, *words, "--rounds", "2", "--save")
    quoted = ["'my text.txt'" if word == "TEXT" else f"'{word}'" if " " in word else word for word in given]
    assert results
    assert {one.command for one in results} == {f"python -m benchmarks {name} {' '.join(quoted)}"}


@pytest.mark.parametrize("rounds", [["--rounds", "3"], ["--rounds=3"], ["--rou", "3"]])
def test_rounds_and_saving_are_left_to_the_tables(rounds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["shards", *rounds, "a/b.txt", "--save", "--steps", "5"])
    assert command_line("shards", Path("a/b.txt")) == "python -m benchmarks shards b.txt --steps 5"


@pytest.mark.parametrize(
    ("backend", "device", "name"),
    [
        ("torch", "cuda:0", "gpu-2x128"),
        ("jax", "cuda:0", "gpu-2x128-jax"),
        ("torch", "cuda:1", "gpu-2x128-cuda-1"),
        ("tensorflow", "cpu", "gpu-2x128-tensorflow-cpu"),
    ],
)
def test_a_gpu_result_replaces_none_of_another_backend_or_device(
    backend: str, device: str, name: str
) -> None:
    assert gpu.result_name("2x128", Namespace(backend=backend, device=device)) == name
