"""What a save removes among the checkpoints, and what it leaves alone because it may be a user's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit.backend import Moments, State
from charkit.runs.checkpoint import CHECKPOINTS, checkpoint_names, damage, save_checkpoint
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.folder_files import OpenFolder
from charkit.runs.pruning import left_over_checkpoints, other_entries, prune, remove_left_over_checkpoints
from charkit.runs.run import Run
from charkit.settings import resolve
from charkit.snapshot import Snapshot
from charkit.system.folder_entries import EntriesByHandle
from charkit.text.vocabulary import Vocabulary
from charkit.weights import initial_weights

VOCABULARY = Vocabulary.of_text("abc")
CONFIG = resolve({"model": {"lstm_size": 2, "num_layers": 1}, "data": {"batch_size": 2}}, VOCABULARY.size)


def _checkpoint(step: int) -> Checkpoint:
    initial = initial_weights(CONFIG.model, seed=step)
    weights: dict[str, Any] = {name: array.astype(np.float32) for name, array in initial.items()}
    state = np.zeros((1, 2, 2), np.float32)
    moments = Moments(*({name: np.zeros_like(array) for name, array in weights.items()} for _ in range(2)))
    return Checkpoint(
        Snapshot(weights, moments, State(state, state), step),
        TrainingProgress(step=step, training=CONFIG.training),
    )


@pytest.fixture
def checkpoints() -> Path:
    """The checkpoints 0, 1 and 2 of a run; a save removes the first."""
    path = Run.create(Path("run"), CONFIG, VOCABULARY, "0" * 64, _checkpoint(0)).path
    for step in (1, 2):
        save_checkpoint(path, _checkpoint(step))
    return path / CHECKPOINTS


def _put(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return folder


def test_a_folder_of_a_user_stays_and_is_no_checkpoint(checkpoints: Path) -> None:
    notes = _put(checkpoints / "20250101", notes_txt="mine")
    empty = _put(checkpoints / "00000040")
    hidden = [_put(checkpoints / name) for name in (".00000040-oldstuff", ".00000060-0a1b2c3d")]
    assert checkpoint_names(checkpoints.parent) == ["00000002", "00000001", "00000000"]
    prune(checkpoints.parent)
    assert (notes / "notes.txt").read_text() == "mine"
    assert all(folder.is_dir() for folder in (empty, *hidden))
    others = [".00000040-oldstuff", ".00000060-0a1b2c3d", "00000040", "20250101"]
    assert other_entries(checkpoints.parent) == others
    assert checkpoint_names(checkpoints.parent) == ["00000002", "00000001"]


def test_a_checkpoint_with_a_file_or_a_folder_of_a_user_stays(checkpoints: Path) -> None:
    save_checkpoint(checkpoints.parent, _checkpoint(3))
    _put(checkpoints / "00000000", notes_txt="mine")
    (checkpoints / "00000001" / "state.safetensors").unlink()
    (checkpoints / "00000001" / "state.safetensors").mkdir()
    save_checkpoint(checkpoints.parent, _checkpoint(4))
    prune(checkpoints.parent)
    assert sorted(os.listdir(checkpoints)) == ["00000000", "00000001", "00000003", "00000004"]


@pytest.mark.parametrize(
    ("files", "goes"),
    [
        ({"manifest_json": "{}", "progress_json": '{"step": 9}'}, True),
        ({"manifest_json": "{"}, True),
        ({"progress_json": "{"}, True),
        ({"progress_json": '{"step": 8}'}, False),
        ({"model_safetensors": "mine"}, False),
    ],
)
def test_a_damaged_checkpoint_goes_where_it_is_surely_one(
    checkpoints: Path, files: dict[str, str], goes: bool
) -> None:
    folder = _put(checkpoints / "00000009", **files)
    prune(checkpoints.parent)
    assert folder.exists() is not goes


def test_what_a_kill_leaves_of_a_checkpoint_that_is_removed_goes_later(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It never looks like a checkpoint that is damaged, nor like an empty folder of a user."""

    class KilledError(BaseException):
        pass

    def empty_it(_entries: EntriesByHandle, name: str) -> None:
        for path in (checkpoints / name).iterdir():
            path.unlink()
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(EntriesByHandle, "remove_tree", empty_it)
        with pytest.raises(KilledError):
            prune(checkpoints.parent)
    assert checkpoint_names(checkpoints.parent) == ["00000002", "00000001"]
    assert len(left_over_checkpoints(checkpoints.parent)) == 1
    remove_left_over_checkpoints(checkpoints.parent)
    assert sorted(os.listdir(checkpoints)) == ["00000001", "00000002"]


def test_a_save_keeps_what_a_user_put_under_its_name(checkpoints: Path) -> None:
    for expected in ("00000003-replaced-1", "00000003-replaced-2"):
        shutil.rmtree(checkpoints / "00000003", ignore_errors=True)
        _put(checkpoints / "00000003", notes_txt="mine")
        save_checkpoint(checkpoints.parent, _checkpoint(3))
        assert damage(checkpoints / "00000003") is None
        assert (checkpoints / expected / "notes.txt").read_text() == "mine"
    save_checkpoint(checkpoints.parent, _checkpoint(3))  # over one of charkit's own
    names = sorted(os.listdir(checkpoints))
    assert names == [*(f"0000000{n}" for n in range(4)), "00000003-replaced-1", "00000003-replaced-2"]


def test_nothing_but_files_of_the_names_is_in_the_folder(checkpoints: Path) -> None:
    with OpenFolder.at(checkpoints.parent) as folder:
        _put(checkpoints.parent / "one", a="", b="")
        assert folder.holds_only("one", {"a", "b", "c"})
        assert not folder.holds_only("one", {"a"})
        assert not folder.holds_only("config.json", {"a"})
        assert not folder.holds_only("absent", {"a"})
        (checkpoints.parent / "one" / "c").mkdir()
        assert not folder.holds_only("one", {"a", "b", "c"})
