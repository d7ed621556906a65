"""Runs of strangers in which a file is a link, a pipe or a device: nothing outside is written, nothing hangs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import charkit
from cli_support import Toolkit, only_error
from support import SMALL, SMALL_TEXT

#: What a reader opens, and a resumed training besides.
READ = ("config.json", "vocabulary.json", "checkpoints/00000030/model.safetensors")
WRITTEN = ("lock", "metrics.jsonl", "samples.jsonl", "sessions.jsonl")
RESUME = ("train", "--max-steps", "40", "--threads", "1", "--resume")


def _with_symbolic_link(path: Path, outside: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(outside)


def _with_hard_link(path: Path, outside: Path) -> None:
    path.unlink(missing_ok=True)
    os.link(outside, path)


def _with_pipe(path: Path, _outside: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _with_endless_device(path: Path, _outside: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


HARMS = (_with_symbolic_link, _with_hard_link, _with_pipe, _with_endless_device)


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("harm", HARMS)
def test_nothing_outside_is_written_or_truncated(
    toolkit: Toolkit, run: Path, tmp_path: Path, harm: Callable[[Path, Path], None], name: str
) -> None:
    outside = tmp_path / "profile"
    outside.write_text("export PATH\n")
    harm(run / name, outside)
    outcome = toolkit(*RESUME, run)
    assert outside.read_text() == "export PATH\n"
    assert outcome.status == 2
    assert f"'{run}/{name}' is " in only_error(outcome.err.splitlines()[-1])


@pytest.mark.parametrize("name", ["schedule.jsonl", "README.md", "latest", "best"])
def test_a_link_in_place_of_another_file_is_never_written_through(
    toolkit: Toolkit, run: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "profile"
    outside.write_text("export PATH\n")
    _with_symbolic_link(run / name, outside)
    toolkit(*RESUME, run)
    assert outside.read_text() == "export PATH\n"


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("command", [("sample", "--length", "3"), RESUME], ids=" ".join)
def test_nothing_but_plain_files_is_read(
    toolkit: Toolkit,
    run: Path,
    tmp_path: Path,
    harm: Callable[[Path, Path], None],
    name: str,
    command: tuple[str, ...],
) -> None:
    outside = tmp_path / "copy"
    shutil.copyfile(run / name, outside)
    for other in (run / "checkpoints").iterdir():
        if other.name != "00000030":
            shutil.rmtree(other)
    harm(run / name, outside)
    outcome = toolkit(*command, run)
    assert outcome.status == 2
    only_error(outcome.err)


def test_checkpoints_elsewhere_are_not_pruned(toolkit: Toolkit, run: Path, tmp_path: Path) -> None:
    shutil.move(run / "checkpoints", tmp_path / "elsewhere")
    (run / "checkpoints").symlink_to(tmp_path / "elsewhere")
    before = sorted(tmp_path.rglob("*"))
    message = toolkit.error("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    assert (
        f"'{run}/checkpoints' is a symbolic link, but it must be a directory inside the run; put a copy of"
        in message
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_huge_file_is_refused_before_it_is_read(toolkit: Toolkit, run: Path) -> None:
    with (run / "config.json").open("ab") as file:
        file.truncate(1 << 40)  # a hole, which takes no room on the disk
    outcome = toolkit("sample", run)
    assert outcome.status == 2
    assert "is not a charkit run, or is damaged" in only_error(outcome.err)


def test_the_run_itself_may_be_reached_by_a_link(toolkit: Toolkit, run: Path) -> None:
    Path("link").symlink_to(run)
    toolkit.ok(*RESUME, "link")
    toolkit.ok("sample", "link", "--length", "3")
    assert Path("link").is_symlink()


def _run_of_a_string() -> Path:
    return charkit.train(string=SMALL_TEXT, run="r", max_steps=2, threads=1, **SMALL).run


def test_a_text_in_the_run_is_no_link(toolkit: Toolkit, text_file: Path) -> None:
    """The text is the right one, but elsewhere."""
    run = _run_of_a_string()
    _with_symbolic_link(run / "text.txt", text_file)
    for command in (("evaluate", run), ("train", "--resume", run, "--max-steps", "4")):
        assert "'r/text.txt' is a symbolic link" in only_error(toolkit(*command).err)
