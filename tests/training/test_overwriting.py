"""Replacing a run, and naming new ones: the old or the new one is there, and nobody loses a run that is trained."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit import events
from charkit.errors import CharkitError, RunError, StorageError
from charkit.runs import debris, folder_files, lock
from charkit.runs.debris import remove_left_over_runs
from charkit.runs.temporary_names import temporary_name, temporary_of
from charkit.system import folder_entries, renames
from training_support import train, weights_of


@pytest.fixture(params=["one call", "steps", "paths"])
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own exchange, what takes its place where there is none, and paths where folders have no handles."""
    if request.param == "steps":
        monkeypatch.setattr(renames, "_system_call", lambda: None)
    if request.param == "paths":
        monkeypatch.setattr(folder_entries, "HAS_HANDLES", False)


pytestmark = pytest.mark.usefixtures("_ways")


def _step(path: Path) -> int:
    return charkit.load_run(path, checkpoint="latest").step


def test_a_run_is_replaced_and_nothing_is_left_beside_it(text_file: Path) -> None:
    train(text_file, run="r", max_steps=3)
    train(text_file, run="r", max_steps=5, overwrite=True)
    assert _step(Path("r")) == 5
    assert os.listdir() == ["r"]


def test_an_interruption_as_soon_as_the_folder_is_made_leaves_nothing(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.mkdir

    def make(path: Any, *arguments: Any, **options: Any) -> None:
        real(path, *arguments, **options)
        if temporary_of(Path(path).name) == "r":
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "mkdir", make)
    with pytest.raises(KeyboardInterrupt):
        train(text_file, run="r", max_steps=3)
    assert os.listdir() == []


def test_an_error_while_it_is_replaced_leaves_the_old_one(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rename of the run fails once: the exchange, or away with the old one, and the new one to its name."""
    train(text_file, run="r", max_steps=3)
    by_steps = renames._system_call() is None or not folder_entries.HAS_HANDLES
    where, name = (os, "rename") if by_steps else (folder_entries, "exchange")
    real = getattr(where, name)
    for fails_at in (1, 2) if by_steps else (1,):
        calls = 0

        def fail(*arguments: Any, fails_at: int = fails_at, **options: Any) -> None:
            nonlocal calls
            is_run = "r" in map(os.path.basename, arguments[:2])
            calls += is_run
            if calls == fails_at and is_run:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            real(*arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(where, name, fail)
            with pytest.raises(StorageError, match="can't write 'r'"):
                train(text_file, run="r", max_steps=5, overwrite=True)
        assert _step(Path("r")) == 3
        assert os.listdir() == ["r"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".charkit-old-0a1b2c3d4e5f6071-r", ".charkit-tmp-9f8e7d6c5b4a3921-r"),
        (".r-old-0a1b2c3d", ".r-9f8e7d6c"),  # of an earlier version
    ],
)
def test_a_run_that_was_moved_aside_by_a_killed_process_comes_back(
    text_file: Path, old: str, new: str
) -> None:
    train(text_file, run="r", max_steps=3)
    Path("r").rename(old)
    Path(new).mkdir()  # the new one, which that process had begun
    assert charkit.load_run("r", checkpoint="latest").step == 3
    train(resume="r", max_steps=4)
    assert _step(Path("r")) == 4


def test_a_run_with_notes_that_was_moved_aside_comes_back_with_them(text_file: Path) -> None:
    train(text_file, run="r", max_steps=3)
    Path("r/notes.txt").write_text("mine")
    Path("r").rename(temporary_name("r", old=True))
    assert _step(Path("r")) == 3
    assert Path("r/notes.txt").read_text() == "mine"


def test_a_copy_that_a_user_keeps_is_not_taken_for_the_run(text_file: Path) -> None:
    train(text_file, run="r", max_steps=3)
    Path("r").rename(".r-old-20260101")
    with pytest.raises(RunError, match="the directory doesn't exist"):
        _step(Path("r"))
    assert os.listdir() == [".r-old-20260101"]


def test_of_six_that_replace_a_run_at_once_one_wins(text_file: Path) -> None:
    train(text_file, run="r", max_steps=1)
    begun, others_refused = threading.Barrier(6), threading.Event()
    refused: list[CharkitError] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.Started):
            assert others_refused.wait(60)

    def replace(number: int) -> charkit.TrainResult | None:
        begun.wait(60)
        try:
            return train(
                text_file, run="r", max_steps=10 + number, overwrite=True, seed=number, on_event=on_event
            )
        except CharkitError as error:
            refused.append(error)
            if len(refused) == 5:
                others_refused.set()
            return None

    with ThreadPoolExecutor(6) as pool:
        results = [result for result in pool.map(replace, range(6)) if result is not None]
    assert [type(error) for error in refused] == [RunError] * 5
    assert all("'r' is being trained by process" in str(error) for error in refused), refused
    (winner,) = results
    assert _step(Path("r")) == winner.step
    assert os.listdir() == ["r"]


def test_of_six_that_make_a_run_at_once_one_wins(text_file: Path) -> None:
    begun, others_refused = threading.Barrier(6), threading.Event()
    refused: list[CharkitError] = []

    def on_event(event: events.Event) -> None:
        if isinstance(event, events.Started):
            assert others_refused.wait(60)

    def make(number: int) -> charkit.TrainResult | None:
        begun.wait(60)
        try:
            return train(text_file, run="r", max_steps=3, seed=number, overwrite=True, on_event=on_event)
        except CharkitError as error:
            refused.append(error)
            if len(refused) == 5:
                others_refused.set()
            return None

    with ThreadPoolExecutor(6) as pool:
        assert sum(result is not None for result in pool.map(make, range(6))) == 1
    assert all("'r'" in str(error) for error in refused), refused
    assert os.listdir() == ["r"]


def test_a_run_is_locked_before_others_see_it(text_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As soon as a run has its name, a second training of it is refused."""
    seen: list[str] = []
    real = folder_files.OpenFolder.sync

    def look(folder: folder_files.OpenFolder) -> None:
        real(folder)
        if Path("r").exists() and not seen:
            with pytest.raises(RunError) as refused:
                train(resume="r", max_steps=2)
            seen.append(str(refused.value))

    monkeypatch.setattr(folder_files.OpenFolder, "sync", look)
    train(text_file, run="r", max_steps=1)
    assert ["being trained by process" in message for message in seen] == [True]


def test_a_run_whose_lock_is_about_to_be_taken_is_left_alone_by_others(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making the lock file and locking it, another process looks for what killed ones left."""
    looked: list[str] = []
    real = lock.try_lock

    def look_first(handle: int) -> Any:
        if not looked:
            looked.extend(name for name in os.listdir() if temporary_of(name) == "r")
            remove_left_over_runs(Path("r"))
        return real(handle)

    monkeypatch.setattr(lock, "try_lock", look_first)
    monkeypatch.setattr(
        debris, "is_held", lambda _: pytest.fail("the lock that is about to be taken was tried")
    )
    train(text_file, run="r", max_steps=1)
    assert len(looked) == 1
    assert os.listdir() == ["r"]


def test_a_name_that_differs_in_case_alone_is_taken_on_a_disk_that_ignores_case(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = text_file.with_name("Anna.txt")
    text_file.rename(anna)
    Path("runs/anna-1").mkdir(parents=True)
    _ignore_case(monkeypatch)
    first, second = (train(anna, max_steps=1).run for _ in range(2))
    assert [run.name for run in (first, second)] == ["Anna-2", "Anna-3"]
    Path("runs/aNNa-7").mkdir()
    monkeypatch.setattr("charkit.runs.run.next_free_folder", lambda parent, name: parent / f"{name}-1")
    assert train(anna, max_steps=1).run.name == "Anna-4"


def _ignore_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names under ``runs/`` are taken by those that differ in case alone."""

    def refuse_taken(target: str) -> None:
        name = Path(target).name
        if name.casefold() in {entry.casefold() for entry in os.listdir("runs")}:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)

    real = folder_entries.rename_new

    def rename_new(source: str, target: str, *, folder: int) -> None:
        refuse_taken(target)
        real(source, target, folder=folder)

    monkeypatch.setattr(folder_entries, "rename_new", rename_new)
    exists = os.path.lexists
    monkeypatch.setattr(
        os.path,
        "lexists",
        lambda path: (
            exists(path)
            or (
                Path(path).parent.name == "runs"
                and Path(path).name.casefold() in {entry.casefold() for entry in os.listdir("runs")}
            )
        ),
    )


def test_a_stopped_validation_is_saved_over_its_step_without_removing_it_first(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full while a checkpoint of the same step is written: the one that was there stays."""
    from charkit.runs.checkpoint import save_checkpoint
    from charkit.runs.run import Run

    result = train(text_file, run="r", max_steps=4)
    before = weights_of(result)
    checkpoint = Run.open(Path("r")).checkpoint("latest")[0]
    for fails_at in range(1, 8 if folder_entries.HAS_HANDLES else 6):  # by paths, folders are not synced
        calls = 0

        def full(handle: int, fails_at: int = fails_at, real: Any = os.fsync) -> None:
            nonlocal calls
            calls += 1
            if calls == fails_at:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(handle)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(StorageError, match="the disk is full"):
                save_checkpoint(Path("r"), checkpoint)
        loaded = charkit.load_run("r", checkpoint="latest")
        assert (loaded.step, loaded.notices) == (4, ())
        assert all((before[name] == array).all() for name, array in weights_of(result).items())
    assert not [name for name in os.listdir("r/checkpoints") if name.startswith(".")]


def test_a_reader_of_a_run_that_is_replaced_never_mixes_the_two(text_file: Path) -> None:
    """The new run has as many symbols as the old one, and others."""
    from charkit.runs.run import Run

    train(text_file, run="r", max_steps=1)
    old = Run.open(Path("r"))
    text_file.write_text(text_file.read_text("utf-8").replace("€", "£"), "utf-8")
    train(text_file, run="r", max_steps=1, overwrite=True)
    with pytest.raises(RunError, match="the run 'r' was replaced while it was being read; try again"):
        old.checkpoint("latest")
