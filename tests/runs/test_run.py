"""The run directory: whole or not there, checked when read, locked while trained."""

# Over 300 lines: one class, one short test for each of its promises.

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from charkit.backend import Moments, State
from charkit.errors import RunError, StorageError
from charkit.events import StepMetrics
from charkit.runs.checkpoint import damage, find_checkpoint, save_checkpoint, whole_checkpoints
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.folder_files import OpenFolder
from charkit.runs.lock import locked
from charkit.runs.new_folders import next_free_folder
from charkit.runs.newest import newest_run_path
from charkit.runs.pointers import point
from charkit.runs.pruning import prune
from charkit.runs.records import METRICS, SAMPLES
from charkit.runs.run import Run
from charkit.runs.temporary_names import temporary_name
from charkit.settings import resolve
from charkit.snapshot import Snapshot
from charkit.text.vocabulary import Vocabulary
from charkit.weights import initial_weights

VOCABULARY = Vocabulary.of_text("abc")
SETTINGS: dict[str, dict[str, Any]] = {
    "model": {"lstm_size": 3, "num_layers": 1},
    "data": {"batch_size": 2},
    "training": {"precision": "float64"},
}
CONFIG = resolve(SETTINGS, VOCABULARY.size)


def checkpoint(step: int = 0) -> Checkpoint:
    weights: dict[str, Any] = initial_weights(CONFIG.model, seed=step)
    state = np.full((1, 2, 3), float(step))
    squares = {name: np.square(array) for name, array in weights.items()}
    snapshot = Snapshot(weights, Moments(weights, squares), State(state, state), step)
    return Checkpoint(snapshot, TrainingProgress(step=step, training=CONFIG.training))


def make_run(path: Path, **options: Any) -> Run:
    return Run.create(path, CONFIG, VOCABULARY, "0" * 64, checkpoint(), **options)


def report(step: int) -> dict[str, Any]:
    """A line of ``metrics.jsonl``."""
    return asdict(StepMetrics(step, 1, 2.0, None, 0.001, 0.5, 1000.0, 1.0))


def tree(folder: Path) -> set[str]:
    """Every path below the folder, but for what the fixtures made."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")} - {"work", "scratch"}


def test_a_new_run_opens_with_what_it_was_made_of(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "run")
    opened = Run.open(tmp_path / "a" / "run")
    assert opened.config == CONFIG
    assert opened.vocabulary == VOCABULARY
    found, folder, notes = opened.checkpoint("latest")
    assert (folder.name, notes, found.progress.step) == ("00000000", (), 0)
    for name, array in checkpoint().snapshot.weights.items():
        assert np.array_equal(found.snapshot.weights[name], array)
    assert not [name for name in tree(tmp_path) if "/." in f"/{name}"], "debris was left"


def test_a_run_is_never_overwritten_unasked(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run.path / "mine.txt").write_text("keep")
    with pytest.raises(RunError, match=r"`resume=.*`overwrite=True`"):
        make_run(tmp_path / "run")
    assert (run.path / "mine.txt").exists()
    make_run(tmp_path / "run", overwrite=True)
    assert not (run.path / "mine.txt").exists()
    assert tree(tmp_path) == {"run"} | {f"run/{name}" for name in tree(run.path)}


def test_what_is_not_a_run_is_never_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(RunError, match="is not a charkit run, so it is never overwritten"):
        make_run(folder, overwrite=True)
    assert tree(tmp_path) == {"thesis", "thesis/config.json"}


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="the disk is full"):
        make_run(tmp_path / "deep" / "down" / "run")
    assert tree(tmp_path) == set()


def test_a_full_disk_while_saving_leaves_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "run")
    before = tree(run.path)
    calls = 0

    def full_at_third(descriptor: int, sync: Any = os.fsync) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full_at_third)
    with pytest.raises(StorageError, match="the disk is full"):
        save_checkpoint(run.path, checkpoint(7))
    assert tree(run.path) == before
    assert run.checkpoint("latest")[0].progress.step == 0


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "optimizer.safetensors",
        "state.safetensors",
        "progress.json",
        "manifest.json",
        "../../config.json",
        "../../vocabulary.json",
    ],
)
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "empty"])
def test_any_harm_to_any_file_is_seen(tmp_path: Path, name: str, harm: str) -> None:
    run = make_run(tmp_path / "run")
    folder = run.path / "checkpoints" / "00000000"
    assert damage(folder) is None
    path = folder / name
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[:-1] if harm == "cut" else content)
    if harm == "empty":
        path.write_bytes(b"")
    if harm == "remove":
        path.unlink()
    if (name, harm) == ("manifest.json", "cut"):
        path.write_bytes(content[:-5])  # its last byte is a line end that JSON does without
    assert damage(folder) is not None
    with pytest.raises(RunError, match="no intact checkpoint"):
        find_checkpoint(run.path, "latest", CONFIG)


def test_the_newest_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for step in (5, 10):
        save_checkpoint(run.path, checkpoint(step))
    (run.path / "checkpoints" / "00000010" / "model.safetensors").write_bytes(b"half")
    (run.path / "checkpoints" / temporary_name("00000015")).mkdir()
    found, folder, notes = find_checkpoint(run.path, "latest", CONFIG)
    assert folder.name == "00000005"
    assert len(notes) == 1
    assert "skipped checkpoint 00000010: model.safetensors" in notes[0]
    assert found.snapshot.state.hidden[0, 0, 0] == 5.0


def test_the_best_is_taken_and_the_newest_where_it_is_damaged(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for step in (5, 10):
        save_checkpoint(run.path, checkpoint(step))
    point(run.path, "best", 5)
    assert find_checkpoint(run.path, "best", CONFIG)[1].name == "00000005"
    shutil.rmtree(run.path / "checkpoints" / "00000005")
    assert find_checkpoint(run.path, "best", CONFIG)[1].name == "00000010"


def test_pruning_keeps_the_best_and_the_two_newest_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for step in (1, 2, 3, 4):
        save_checkpoint(run.path, checkpoint(step))
    point(run.path, "best", 1)
    (run.path / "checkpoints" / "00000004" / "manifest.json").unlink()
    prune(run.path)
    assert [folder.name for folder in whole_checkpoints(run.path)] == ["00000003", "00000002", "00000001"]
    assert not (run.path / "checkpoints" / "00000004").exists()


def test_pruning_reads_no_checkpoint_that_was_just_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, read = make_run(tmp_path / "run"), []

    def noted(folder: Path) -> str | None:
        read.append(folder.name)
        return damage(folder)

    monkeypatch.setattr("charkit.runs.checkpoint.damage", noted)
    for step in (1, 2, 3, 4):
        save_checkpoint(run.path, checkpoint(step))
    prune(run.path, {"00000003", "00000004"})
    assert read == []
    save_checkpoint(run.path, checkpoint(5))
    prune(run.path, {"00000005"})
    assert read == ["00000004"]
    assert [folder.name for folder in whole_checkpoints(run.path)] == ["00000005", "00000004"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": "1", "config": {}}', "\x00"])
def test_a_folder_that_is_no_run_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match="is not a charkit run"):
        Run.open(tmp_path)
    with pytest.raises(RunError, match="is not a charkit run"):
        Run.open(tmp_path / "absent")


def test_a_newer_format_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    content = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**content, "format": 3, "charkit": "9.0"}))
    with pytest.raises(
        RunError,
        match=r"is in format 3, but charkit .* reads formats 1 to 2; use charkit 9\.0 or later",
    ):
        Run.open(run.path)


def test_a_configuration_never_chooses_code(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    content = json.loads((run.path / "config.json").read_text())
    content["config"]["model"]["factory"] = "os:system"
    (run.path / "config.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=r"damaged.*factory"):
        Run.open(run.path)


def test_a_lock_is_held_by_one_and_goes_with_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with locked(run.path):
        with pytest.raises(RunError, match=f"being trained by process {os.getpid()}"), locked(run.path):
            pass
        with pytest.raises(RunError, match="being trained"):
            make_run(run.path, overwrite=True)
    with locked(run.path):
        pass


def test_reports_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for step in (1, 2, 3):
        run.record(METRICS, report(step))
        run.record(SAMPLES, {"step": step, "epoch": 1, "sample": "é"})
    with (run.path / METRICS).open("a") as file:
        file.write('{"step": 4, "lo')  # a crash cut this line short
    run.forget_after(2)
    assert [record["step"] for record in run.records(METRICS)] == [1, 2]
    assert [record["step"] for record in run.records(SAMPLES)] == [1, 2]


def test_new_runs_are_numbered_and_the_newest_is_found(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    assert next_free_folder(runs, "anna") == runs / "anna-1"
    with pytest.raises(RunError, match="none in"):
        newest_run_path(runs)
    for name in ("anna-1", "anna-9", "anna-x", "other-3"):
        make_run(runs / name)
    os.utime(runs / "anna-1" / "latest", (2e9, 2e9))
    assert next_free_folder(runs, "anna") == runs / "anna-10"
    assert newest_run_path(runs) == runs / "anna-1"


def test_a_line_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.record(METRICS, report(1))
    with (run.path / METRICS).open("a") as file:
        file.write('{"step": 2, "lo')
    run.record(METRICS, report(3))
    assert [record["step"] for record in run.records(METRICS)] == [1, 3]


def test_a_sample_may_hold_any_line_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    sample = "a\u2028b\u2029c\x85d\x0be\n"
    run.record(SAMPLES, {"step": 1, "epoch": 1, "sample": sample})
    run.record(SAMPLES, {"step": 2, "epoch": 1, "sample": "f"})
    assert [record["sample"] for record in run.records(SAMPLES)] == [sample, "f"]


def test_runs_that_start_together_get_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def next_free(parent: Path, name: str) -> Path:
        path = next_free_folder(parent, name)
        if not made:  # another process is faster once
            made.append(make_run(path).path)
        return path

    monkeypatch.setattr("charkit.runs.run.next_free_folder", next_free)
    run = Run.create_next("anna", CONFIG, VOCABULARY, "0" * 64, checkpoint())
    assert (made[0].name, run.path.name) == ("anna-1", "anna-2")


@pytest.mark.parametrize("text", ["/home/me/a.txt", r"C:\texts\a.txt", r"\\server\share\a.txt"])
def test_a_run_of_another_system_is_opened(tmp_path: Path, text: str) -> None:
    run = make_run(tmp_path / "r")
    config = tmp_path / "r/config.json"
    content = json.loads(config.read_text())
    content["config"]["data"]["text"] = [text]
    config.write_text(json.dumps(content))
    assert Run.open(run.path).config.data.text == (text,)


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_run(tmp_path / "r").path
    read = OpenFolder.read

    def refuse(folder: OpenFolder, name: str, *rest: Any) -> bytes:
        if name == "vocabulary.json":
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return read(folder, name, *rest)

    monkeypatch.setattr(OpenFolder, "read", refuse)
    with pytest.raises(RunError, match=r"r' can't be read: vocabulary.json: Permission denied$"):
        Run.open(path)
