"""R3: a disk that is full or read-only while a run is trained. One line, and whatever was saved before is whole."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit import events
from charkit.runs.checkpoint import CHECKPOINTS, damage
from charkit_cli.main import run as run_toolkit
from cli_support import TINY, only_error
from training_support import wait_for_save

STEPS = 12
SAVE_EVERY = 3
#: From this step on the disk takes no more.
FULL_FROM = 5
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)
OPTIONS = (
    *TINY,
    "--max-steps",
    str(STEPS),
    "--save-every",
    str(SAVE_EVERY),
    "--log-every",
    "1",
    "--run",
    "r",
)
EVENTS = "charkit_cli.progress.PlainProgress.__call__"


class Disk:
    """Files can't be written on it while ``broken`` is an errno; renames and removals still work, as on a real one.

    With EROFS and EACCES nothing can be changed at all. The call that opens or writes raises, like the system's.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.broken: int | None = None
        #: Only files of these names are refused; all if empty.
        self.only: tuple[str, ...] = ()
        monkeypatch.setattr(os, "open", self._on_open(os.open))
        monkeypatch.setattr(os, "write", self._on_write(os.write))
        for name in ("mkdir", "rename", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._on_change(getattr(os, name)))

    def _refuse(self, name: str) -> None:
        if "/scratch/" in name:  # of the encoded text, which is on another disk here
            return
        if self.broken is not None and (not self.only or any(part in Path(name).name for part in self.only)):
            raise OSError(self.broken, os.strerror(self.broken), name)

    def _on_open(self, real: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR) and self.broken in (errno.EROFS, errno.EACCES):
                self._refuse(str(path))
            return real(path, flags, *rest, **options)

        return opened

    def _on_write(self, real: Callable[..., int]) -> Callable[..., int]:
        def write(handle: int, content: Any) -> int:
            if stat.S_ISREG(os.fstat(handle).st_mode):
                self._refuse(os.readlink(f"/proc/self/fd/{handle}") if self.only else "")
            return real(handle, content)

        return write

    def _on_change(self, real: Callable[..., None]) -> Callable[..., None]:
        def change(path: Any, *rest: Any, **options: Any) -> None:
            if self.broken in (errno.EROFS, errno.EACCES):
                self._refuse(str(path))
            real(path, *rest, **options)

        return change


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


@contextmanager
def _breaking(
    monkeypatch: pytest.MonkeyPatch, disk: Disk, number: int, steps: range
) -> Iterator[list[events.Event]]:
    """Breaks the disk while those steps are trained; yields the events that were shown."""
    from charkit_cli.progress import PlainProgress

    seen: list[events.Event] = []
    show = PlainProgress.__call__

    def at_each_event(progress: PlainProgress, event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Advanced | events.Started):
            broken = number if event.step + 1 in steps else None
            if broken != disk.broken:
                wait_for_save()  # so that each save has the one disk or the other
            disk.broken = broken
        show(progress, event)

    with monkeypatch.context() as patch:
        patch.setattr(PlainProgress, "__call__", at_each_event)
        yield seen
    disk.broken = None


def _all_whole(run: Path) -> list[int]:
    """The steps of the checkpoints, every one of which is whole; nothing else is among them."""
    names = sorted(os.listdir(run / CHECKPOINTS))
    assert [damage(run / CHECKPOINTS / name) for name in names] == [None] * len(names)
    return [int(name) for name in names]


@pytest.mark.parametrize("log_every", ["1", "100"])  # a report is the first that fails, or a save
@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_training_stops_with_one_line_and_older_checkpoints_are_whole(
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    disk: Disk,
    number: int,
    log_every: str,
) -> None:
    with _breaking(monkeypatch, disk, number, range(FULL_FROM, STEPS + 2)):
        assert run_toolkit(["train", str(text_file), *OPTIONS, "--log-every", log_every]) == 2
    said = capsys.readouterr().err
    assert only_error(said.splitlines()[-1]).startswith("can't write 'r/")
    assert "Traceback" not in said
    assert _all_whole(Path("r")) == [0, SAVE_EVERY]
    assert charkit.load_run("r", checkpoint="latest").step == SAVE_EVERY
    assert run_toolkit(["train", "--resume", "r", "--threads", "1"]) == 0
    assert _all_whole(Path("r"))[-1] == STEPS


@pytest.mark.parametrize("number", ERRORS, ids=errno.errorcode.get)
def test_training_goes_on_loudly_where_it_was_asked_to(
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    disk: Disk,
    number: int,
) -> None:
    """The disk has room again before the end: what was trained meanwhile is the same as with a good one."""
    options = (*OPTIONS, "--on-save-error", "continue")
    with _breaking(monkeypatch, disk, number, range(FULL_FROM, 9)) as seen:
        assert run_toolkit(["train", str(text_file), *options]) == 0
    failed = [event for event in seen if isinstance(event, events.SaveFailed)]
    assert {event.step for event in failed} >= set(
        range(FULL_FROM, 9)
    )  # a report a step, and the save of step 6
    assert {event.saved_step for event in failed} == {SAVE_EVERY}
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(said) == len(failed)
    assert all("nothing after step 3 is saved until a save succeeds" in line for line in said)
    assert _all_whole(Path("r"))[-2:] == [9, STEPS]
    assert run_toolkit(["train", str(text_file), *OPTIONS[:-1], "good"]) == 0
    weights = [
        Path(run, CHECKPOINTS, f"{STEPS:08d}", "model.safetensors").read_bytes() for run in ("r", "good")
    ]
    assert weights[0] == weights[1]


def test_the_last_save_fails_in_any_case(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], disk: Disk
) -> None:
    with _breaking(monkeypatch, disk, errno.ENOSPC, range(FULL_FROM, STEPS + 2)):
        assert run_toolkit(["train", str(text_file), *OPTIONS, "--on-save-error", "continue"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"error: can't write 'r/checkpoints/{STEPS:08d}': the disk is full; free some space"
    assert _all_whole(Path("r")) == [0, SAVE_EVERY]


@pytest.mark.parametrize(
    "name", ["metrics.jsonl", "samples.jsonl", "sessions.jsonl", "latest", "best", "README.md"]
)
def test_each_file_alone(
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    disk: Disk,
    name: str,
) -> None:
    assert run_toolkit(["train", str(text_file), *OPTIONS[:-4], "--log-every", "1", "--run", "r"]) == 0
    capsys.readouterr()
    disk.only, disk.broken = (name,), errno.ENOSPC
    assert run_toolkit(["train", "--resume", "r", "--max-steps", "20", "--threads", "1"]) == 2
    disk.broken = None
    assert only_error(capsys.readouterr().err.splitlines()[-1]).startswith(f"can't write 'r/{name}': ")
    steps = _all_whole(Path("r"))
    assert steps[-1] in (STEPS, 15, 18, 20)
    assert charkit.load_run("r", checkpoint="latest").step == steps[-1]


def test_a_read_only_folder(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], disk: Disk
) -> None:
    """Nothing is made where nothing can be made, and a run is read where nothing can be written."""
    assert run_toolkit(["train", str(text_file), *OPTIONS]) == 0
    disk.broken = errno.EROFS
    capsys.readouterr()
    assert run_toolkit(["train", str(text_file), *OPTIONS[:-1], "other"]) == 2
    assert only_error(capsys.readouterr().err.splitlines()[-1]).startswith(
        "can't write 'other': the disk is read-only"
    )
    assert run_toolkit(["train", "--resume", "r", "--max-steps", "20"]) == 2
    assert "read-only" in only_error(capsys.readouterr().err.splitlines()[-1])
    assert run_toolkit(["sample", "r", "--length", "3"]) == 0
    assert not Path("other").exists()


def test_a_planted_fault_is_found(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], disk: Disk
) -> None:
    """A save that writes into the folder itself instead of a temporary one."""
    from charkit.runs import folder_files

    @contextmanager
    def in_place(folder: Any, name: str, **_options: Any) -> Iterator[Any]:
        folder.ensure_folder(name)
        with folder.folder(name) as made:
            yield made

    monkeypatch.setattr(folder_files.OpenFolder, "new_folder", in_place)
    with _breaking(monkeypatch, disk, errno.ENOSPC, range(FULL_FROM, STEPS + 2)):
        assert run_toolkit(["train", str(text_file), *OPTIONS, "--log-every", "100"]) == 2
    with pytest.raises(AssertionError):
        _all_whole(Path("r"))
