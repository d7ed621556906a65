"""What is remembered about files of symbols is forgotten after a while, and nothing else is removed."""

from __future__ import annotations

import os
import time
from pathlib import Path

from charkit.text.encoded_file import scratch_folder
from charkit.text.verified import FOLDER, KEPT_DAYS, TICK_NANOSECONDS, is_verified, remember_verified


def test_old_marks_are_removed_and_the_files_of_a_user_stay() -> None:
    folder = scratch_folder() / FOLDER
    folder.mkdir(parents=True)
    files = {name: folder / name for name in ("0" * 64, "1" * 64, "2" * 64, "notes.txt")}
    for path in files.values():
        path.touch()
    files["1" * 64].write_text("mine")
    old = time.time() - (KEPT_DAYS + 1) * 86400
    for name in ("0" * 64, "1" * 64, "notes.txt"):
        os.utime(files[name], (old, old))
    Path("symbols").write_bytes(b"abc")
    time.sleep(2 * TICK_NANOSECONDS / 1e9)
    with Path("symbols").open("rb") as file:
        remember_verified(file.fileno(), os.fstat(file.fileno()), "right")
        assert is_verified(file.fileno(), "right")
    left = {name for name, path in files.items() if path.exists()}
    assert left == {"1" * 64, "2" * 64, "notes.txt"}


def test_a_mark_that_another_process_removes_is_no_problem() -> None:
    folder = scratch_folder() / FOLDER
    folder.mkdir(parents=True)
    (folder / ("3" * 64)).symlink_to("removed")  # it is listed, and its status can't be read
    Path("symbols").write_bytes(b"abc")
    time.sleep(2 * TICK_NANOSECONDS / 1e9)
    with Path("symbols").open("rb") as file:
        remember_verified(file.fileno(), os.fstat(file.fileno()), "right")
        assert is_verified(file.fileno(), "right")
