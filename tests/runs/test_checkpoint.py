"""Which checkpoint is taken, what is said about the others, and what a checkpoint's progress may say."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from charkit.backend import Moments, State
from charkit.runs import checkpoint as module
from charkit.runs.best_checkpoint import with_intact_best
from charkit.runs.checkpoint import checkpoint_names, damage, find_checkpoint, save_checkpoint
from charkit.runs.checkpoint_content import (
    Checkpoint,
    TrainingProgress,
    most_bytes,
    parse_manifest,
    parse_progress,
)
from charkit.runs.pointers import Which, point, pointed_at
from charkit.runs.run import Run
from charkit.settings import resolve
from charkit.snapshot import Snapshot
from charkit.tensor_file import MOST_HEADER_BYTES
from charkit.text.vocabulary import Vocabulary
from charkit.weights import initial_weights

VOCABULARY = Vocabulary.of_text("abc")
SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"lstm_size": 3, "num_layers": 1},
    "data": {"batch_size": 2},
    "training": {"precision": "float64"},
}
CONFIG = resolve(SETTINGS, VOCABULARY.size)


def _progress(step: int, best_step: int | None = None) -> TrainingProgress:
    return TrainingProgress(step=step, best_step=best_step, training=CONFIG.training)


def _checkpoint(step: int, best_step: int | None = None) -> Checkpoint:
    weights: dict[str, Any] = initial_weights(CONFIG.model, seed=step)
    state = np.zeros((1, 2, 3))
    squares = {name: np.square(array) for name, array in weights.items()}
    snapshot = Snapshot(weights, Moments(weights, squares), State(state, state), step)
    return Checkpoint(snapshot, _progress(step, best_step))


@pytest.fixture
def run() -> Path:
    """A run with checkpoints of the steps 0, 10 and 20, of which 10 is the best."""
    path = Run.create(Path("run"), CONFIG, VOCABULARY, "0" * 64, _checkpoint(0)).path
    for step in (10, 20):
        save_checkpoint(path, _checkpoint(step, best_step=10))
        point(path, "latest", step)
    point(path, "best", 10)
    return path


def _found(run: Path, which: Which) -> tuple[int, tuple[str, ...]]:
    found, _, notices = find_checkpoint(run, which, CONFIG)
    return found.progress.step, notices


def test_best_and_latest_are_found_without_a_notice(run: Path) -> None:
    assert _found(run, "best") == (10, ())
    assert _found(run, "latest") == (20, ())


def test_a_best_that_names_another_checkpoint_is_said_to(run: Path) -> None:
    point(run, "best", 0)
    said = "'best' points to 00000000, but the newest checkpoint records 00000010 as the best"
    assert _found(run, "best") == (10, (said,))


def test_a_best_that_names_a_missing_checkpoint_is_said_to(run: Path) -> None:
    point(run, "best", 5)
    said = "the best checkpoint, 00000005, is missing, but the newest checkpoint records 00000010 as the best"
    assert _found(run, "best") == (10, (said,))


def test_a_latest_that_is_missing_is_said_only_where_nothing_newer_is_there(run: Path) -> None:
    point(run, "latest", 15)  # a training process has saved and removed meanwhile
    assert _found(run, "latest") == (20, ())
    point(run, "latest", 30)
    assert _found(run, "latest") == (
        20,
        ("the latest checkpoint, 00000030, is missing; using 00000020, the newest intact one",),
    )


def test_a_checkpoint_that_is_removed_after_it_was_listed_is_no_matter(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader beside a training process, which prunes: the second look finds the run as it is now."""
    listed = [["00000030", *checkpoint_names(run)]]
    monkeypatch.setattr(
        module, "checkpoint_names", lambda run: listed.pop() if listed else checkpoint_names(run)
    )
    assert _found(run, "latest") == (20, ())


def test_a_checkpoint_under_another_name_is_damaged(run: Path) -> None:
    folder = run / "checkpoints" / "00000020"
    assert damage(folder) is None
    shutil.copytree(folder, folder.with_name("00000030"))
    assert damage(folder.with_name("00000030")) == "its name does not match its step, 20"


@pytest.mark.parametrize(
    ("named", "best_step", "afterwards"),
    [(0, 10, "00000010"), (10, 10, "00000010"), (10, None, "00000010")],
)
def test_the_best_pointer_is_repaired_where_its_checkpoint_is_there(
    run: Path, named: int, best_step: int | None, afterwards: str
) -> None:
    point(run, "best", named)
    before = os.stat(run / "best").st_ino
    assert with_intact_best(run, _progress(20, best_step)) == (_progress(20, best_step), ())
    assert pointed_at(run, "best") == afterwards
    written = os.stat(run / "best").st_ino != before
    assert written == (afterwards != f"{named:08}")


@pytest.mark.parametrize(("best_step", "problem"), [(15, "missing"), (10, "damaged")])
def test_a_best_checkpoint_that_is_lost_is_forgotten(run: Path, best_step: int, problem: str) -> None:
    point(run, "best", 0)
    (run / "checkpoints" / "00000010" / "model.safetensors").write_bytes(b"")
    progress, notices = with_intact_best(run, _progress(20, best_step))
    assert (progress.best_step, progress.best_validation_loss) == (None, None)
    assert notices == (
        f"the best checkpoint, {best_step:08}, is {problem}; "
        "the best of the checkpoints saved from now on will replace it",
    )
    assert pointed_at(run, "best") == "00000000"


#: The largest number of steps that charkit reads: beyond it, not every integer is a float64.
MOST_STEPS = 2**53 - 1
PLAN = {"step": 5, "fraction": 0.5, "last_step": 20}


def _parse(**changes: Any) -> TrainingProgress:
    stored = _progress(10).model_dump(mode="json") | changes
    return parse_progress(json.dumps(stored).encode(), CONFIG)


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_a_plan_is_read_as_it_was_written(fraction: float) -> None:
    plan = _parse(plan=PLAN | {"fraction": fraction}).plan
    assert plan is not None
    assert plan.model_dump() == PLAN | {"fraction": fraction}


@pytest.mark.parametrize(
    "change",
    [
        {"step": "5"},
        {"step": -1},
        {"step": MOST_STEPS + 1},
        {"last_step": MOST_STEPS + 1},
        {"fraction": 1.5},
        {"fraction": -0.5},
        {"more": 1},
    ],
)
def test_a_plan_that_charkit_would_not_write_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="plan"):
        _parse(plan=PLAN | change)


@pytest.mark.parametrize(
    "change", [{"step": 0}, {"last_step": 0}, {"step": MOST_STEPS}, {"last_step": MOST_STEPS}]
)
def test_a_plan_may_begin_and_end_at_any_step(change: dict[str, int]) -> None:
    plan = _parse(plan=PLAN | change).plan
    assert plan is not None
    assert plan.model_dump() == PLAN | change


@pytest.mark.parametrize("step", [0, MOST_STEPS])
def test_the_steps_of_a_progress_are_bounded(step: int) -> None:
    assert _parse(step=step).step == step
    with pytest.raises(ValueError, match="step"):
        _parse(step=-1 if step == 0 else step + 1)


@pytest.mark.parametrize("field", ["elapsed_seconds", "gradient_norm"])
def test_what_can_not_be_negative_is_refused_if_it_is(field: str) -> None:
    assert getattr(_parse(**{field: 0.0}), field) == 0.0
    with pytest.raises(ValueError, match=field):
        _parse(**{field: -1.0})


def test_the_most_bytes_are_those_of_float64_arrays_with_the_longest_header() -> None:
    numbers = 2 * (4 * 3 * (3 + 3 + 1) + 3 * 3 + 3)  # the moments of one layer of 3 units, and of the output
    assert most_bytes(CONFIG) == 8 + MOST_HEADER_BYTES + 8 * numbers


def test_the_most_bytes_are_enough_for_every_file_of_arrays() -> None:
    """Of a model whose arrays are larger than the header that a file may have."""
    large = resolve(SETTINGS | {"model": {"lstm_size": 3000, "num_layers": 1}}, VOCABULARY.size)
    moments = 2 * 8 * (4 * 3000 * (3 + 3000 + 1) + 3 * 3000 + 3)
    assert moments < most_bytes(large) < 2 * moments


def test_a_progress_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValueError, match="more"):
        _parse(more=1)


def test_a_progress_does_not_change() -> None:
    """Two threads have it while a checkpoint is written."""
    with pytest.raises(ValidationError, match="frozen"):
        _progress(1).step = 2


@pytest.mark.parametrize("content", [b"[]", b'"text"', b"{}", b'{"config.json": {"bytes": 1, "sha256": ""}}'])
def test_a_manifest_that_lists_other_files_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="it lists the wrong files"):
        parse_manifest(content)


@pytest.mark.parametrize("size", [-1, "5", 5.0])
def test_a_manifest_with_a_size_that_no_file_has_is_refused(run: Path, size: Any) -> None:
    stored = json.loads((run / "checkpoints" / "00000020" / "manifest.json").read_text())
    stored["config.json"]["bytes"] = size
    with pytest.raises(ValueError, match="bytes"):
        parse_manifest(json.dumps(stored).encode())
