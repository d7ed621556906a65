"""The progress of a comparison moves within a turn: workers report it, and the parent passes it on."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from charkit_comparison.plan import Variant
from charkit_comparison.processes import worker as worker_module
from charkit_comparison.processes.worker import VariantWorker
from charkit_comparison.processes.worker_process import WorkerFailedError, WorkerProcess
from comparison_support import interpreter

#: A worker that reports progress before every response.
REPORTS = """
import json, sys
for line in sys.stdin:
    for share in (0.25, 0.5):
        print(json.dumps({"progress": share}), flush=True)
    print(json.dumps({"losses": [1.0]}), flush=True)
"""
#: One that never answers, but reports all the time.
ENDLESS = """
import json, time
while True:
    print(json.dumps({"progress": 0.5}), flush=True)
    time.sleep(0.01)
"""


def process(folder: Path, program: str, limit: float = 60.0) -> WorkerProcess:
    (folder / "worker.py").write_text(program)
    python = interpreter(folder, "#!/bin/sh", f"exec {sys.executable} {folder / 'worker.py'}")
    plan: Any = SimpleNamespace(threads=1, turn_limit_seconds=limit, folder=folder, steps=4)
    return WorkerProcess(Variant("numpy", "float32", python=str(python)), plan)


def test_a_response_follows_the_progress(tmp_path: Path) -> None:
    shares: list[float] = []
    started = process(tmp_path, REPORTS)
    try:
        assert started.request("train", on_progress=shares.append, steps=4) == {"losses": [1.0]}
        assert shares == [0.25, 0.5]
        assert started.request("validate") == {"losses": [1.0]}  # nobody has to listen
    finally:
        started.close()


def test_progress_extends_no_time_limit(tmp_path: Path) -> None:
    started = process(tmp_path, ENDLESS, limit=0.3)
    with pytest.raises(WorkerFailedError, match="took longer than"):
        started.request("train", steps=4)


def test_a_worker_reports_every_half_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6])
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(perf_counter=lambda: next(now)))
    shares: list[float] = []
    worker = VariantWorker.__new__(VariantWorker)
    worker.report_progress = shares.append
    assert list(worker._reporting(range(8), 0, 8)) == list(range(8))
    assert shares == [3 / 8, 6 / 8]


def test_the_first_step_of_a_turn_is_no_whole_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step is timed by itself, and slow: its report was followed by one of a smaller share."""
    ticks = count()
    monkeypatch.setattr(worker_module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    shares: list[float] = []
    worker = VariantWorker.__new__(VariantWorker)
    worker.model, worker.report_progress = None, shares.append
    worker.own = SimpleNamespace(step=lambda *_: 1.0)  # type: ignore[assignment]
    worker._upcoming = iter([SimpleNamespace(inputs=None, targets=None, learning_rate=0.1)] * 4)  # type: ignore[assignment]
    worker.step, worker.elapsed_seconds = 0, 0.0
    worker.spec = SimpleNamespace(start=SimpleNamespace(step=0))  # type: ignore[assignment]
    assert worker.train({"steps": 4})["losses"] == [1.0] * 4
    assert shares == [1 / 4, 2 / 4, 3 / 4, 4 / 4]
