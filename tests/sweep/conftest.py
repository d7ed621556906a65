"""One finished sweep, which the tests of this folder look at and leave as it is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

import charkit
from support import SMALL_TEXT
from sweep_support import spec_of, sweep


@dataclass(frozen=True)
class Finished:
    """Where a sweep was run, what it returned, and the events that it reported."""

    folder: Path
    result: charkit.SweepResult
    events: list[charkit.SweepProgress]


@pytest.fixture(scope="session")
def finished_sweep(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A sweep of nine trials with two rungs, one after the other."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.txt").write_text(SMALL_TEXT, "utf-8")
    events: list[charkit.SweepProgress] = []
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = sweep(spec_of(folder / "small.txt"), on_event=events.append)
    finally:
        os.chdir(before)
    return Finished(folder, result, events)


@pytest.fixture
def finished(finished_sweep: Finished, monkeypatch: pytest.MonkeyPatch) -> Finished:
    """That sweep, from the folder that it was run in."""
    monkeypatch.chdir(finished_sweep.folder)
    return finished_sweep
