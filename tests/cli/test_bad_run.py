"""Runs that are none, are damaged, in use or done; primes that can't be read; disks that are full."""

# Over 300 lines: each test is one kind of damage and what the commands say to it.

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from charkit.runs.folder_files import OpenFolder
from cli_support import TINY, Outcome, Toolkit, lines_of, only_error, snapshot, start, wait_for
from support import SMALL_TEXT

READERS = (("sample",), ("evaluate",), ("train", "--resume"), ("train", "--init-from"))


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_folder_that_is_not_a_run(toolkit: Toolkit, run: Path, command: tuple[str, ...]) -> None:
    Path("folder").mkdir()
    Path("other").mkdir()
    Path("other/config.json").write_text('{"model_type": "gpt2"}')
    for given in ("absent", "folder", "other", run / "config.json"):
        message = toolkit.error(*command, given)
        assert message.startswith(
            (f"{str(given)!r} is not a charkit run", f"{str(given)!r} is a file, not a charkit run")
        )
        assert "give the directory of a run" in message


def test_what_is_given_in_place_of_a_run(toolkit: Toolkit, run: Path) -> None:
    message = toolkit.error("report", run.parent)
    assert f"but a directory with runs in it, such as {str(run)!r}; give the directory of a run" in message
    message = toolkit.error("train", "--resume", "--max-steps", "5")
    assert "'--max-steps' is not a charkit run" in message
    assert "(is the value of the option before it missing?)" in message
    assert toolkit.error("sample", "It was ") == (
        "there is no run 'It was '; if this is a text to continue, give it with --prime"
    )


def test_a_text_that_has_moved(toolkit: Toolkit) -> None:
    Path("own.txt").write_text(SMALL_TEXT)
    assert not toolkit("train", "own.txt", "--run", "moved", *TINY).status
    Path("own.txt").rename("elsewhere.txt")
    message = toolkit.error("evaluate", "moved")
    assert message.endswith(
        "if the text has moved, add its new path and the split: --text FILE, --split validation"
    )
    message = toolkit.error("train", "--resume", "moved", "--max-steps", "99")
    assert message.endswith("if the text has moved, give its new path as well as --resume")
    assert not toolkit("evaluate", "moved", "--text", "elsewhere.txt", "--split", "validation").status


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_the_name_of_a_run_without_its_directory(
    toolkit: Toolkit, run: Path, command: tuple[str, ...]
) -> None:
    assert "(did you mean 'runs/small-1'?)" in toolkit.error(*command, run.name)


def test_a_text_where_a_run_belongs(toolkit: Toolkit, text_file: Path) -> None:
    expected = f"{str(text_file)!r} is a file, not a charkit run; give the directory of a run"
    assert toolkit.error("evaluate", text_file) == expected


@pytest.mark.parametrize("command", ["sample", "evaluate"])
def test_no_run_named_and_none_there(toolkit: Toolkit, command: str) -> None:
    message = "no run was given, and there is none in 'runs'; give the directory of a run, or train one"
    assert toolkit.error(command) == message


@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_run_of_a_newer_format(toolkit: Toolkit, run: Path, command: tuple[str, ...]) -> None:
    content = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**content, "format": 3, "charkit": "7.0.0"}))
    message = toolkit.error(*command, run)
    assert "reads formats 1 to 2; use charkit 7.0.0 or later" in message


def flip(path: Path) -> None:
    """Turns one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    """Leaves half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "optimizer.safetensors", "state.safetensors", "progress.json", "manifest.json"],
)
def test_no_whole_checkpoint(
    toolkit: Toolkit, run: Path, command: tuple[str, ...], harm: Callable[[Path], None], name: str
) -> None:
    for folder in (run / "checkpoints").iterdir():
        harm(folder / name)
    message = toolkit.error(*command, run)
    assert message.startswith(f"'{run}' has no intact checkpoint (skipped checkpoint 000000")
    assert message.endswith("so it can't be used; restore it from a backup, or train it again")


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize("harm", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("name", ["config.json", "vocabulary.json"])
def test_damaged_run(
    toolkit: Toolkit, run: Path, command: tuple[str, ...], harm: Callable[[Path], None], name: str
) -> None:
    harm(run / name)
    message = toolkit.error(*command, run)
    assert "damaged" in message or "no intact checkpoint" in message
    assert str(run) in message


def test_a_damaged_checkpoint_is_stepped_over_and_told(toolkit: Toolkit, run: Path) -> None:
    toolkit.ok("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    flip(run / "checkpoints" / "00000040" / "model.safetensors")
    outcome = toolkit.ok("evaluate", run, "--checkpoint", "latest")
    assert "note: skipped checkpoint 00000040: model.safetensors does not match the manifest" in outcome.err
    assert f"{run}, latest checkpoint (step 30), on " in outcome.out
    resumed = toolkit.ok("train", "--resume", run, "--max-steps", "40", "--threads", "1")
    assert "from step 30" in resumed.err


def test_resume_with_another_text(toolkit: Toolkit, run: Path, trained: Path) -> None:
    other = Path("other.txt")
    other.write_text(SMALL_TEXT + "more")
    message = toolkit.error("train", other, "--resume", run, "--max-steps", "40")
    assert message.startswith(f"the given text is not the text of '{run}' (SHA-256 ")
    assert f"--init-from {run}" in message
    other.write_text(SMALL_TEXT + "Ω")
    assert "it contains symbols that are not in the run's vocabulary" in toolkit.error(
        "train", other, "--resume", run, "--max-steps", "40"
    )
    other.write_text(SMALL_TEXT)  # the same text in another place is the same text
    toolkit.ok("train", other, "--resume", run, "--max-steps", "40")


def test_the_same_bytes_in_files_that_make_other_symbols_are_refused(toolkit: Toolkit) -> None:
    """A line end that is cut in two would be two line ends."""
    content = SMALL_TEXT.replace("\n", "\r\n").encode()
    cut = content.index(b"\r\n") + 1
    Path("whole.txt").write_bytes(content)
    Path("one.txt").write_bytes(content[:cut])
    Path("two.txt").write_bytes(content[cut:])
    toolkit.ok("train", "whole.txt", *TINY, "--max-steps", "3", "--run", "r")
    said = toolkit.error("train", "one.txt", "two.txt", "--resume", "r", "--max-steps", "5")
    had = len(SMALL_TEXT)
    assert said.startswith(
        f"the given text is not the text of 'r' ({had + 1:,} symbols instead of {had:,}: the same bytes, divided "
        "differently between files); "
    )
    sessions = Path("r/sessions.jsonl")
    sessions.write_text(sessions.read_text("utf-8").replace(f', "symbols": {had}', ""), "utf-8")
    toolkit.ok("train", "whole.txt", "--resume", "r", "--max-steps", "4")  # a run of charkit 0.1


def test_resume_after_the_text_changed_or_went(toolkit: Toolkit) -> None:
    text = Path("t.txt")
    text.write_text(SMALL_TEXT)
    toolkit.ok("train", text, *TINY, "--max-steps", "3", "--run", "r")
    text.write_text(SMALL_TEXT.replace("cat", "dog"))
    new_symbols = "(it contains symbols that are not in the run's vocabulary); "
    assert new_symbols in toolkit.error("train", "--resume", "r", "--max-steps", "5")
    for unknown in ("error", "skip"):
        changed = toolkit.error("evaluate", "r", "--unknown", unknown)
        assert changed.startswith(f"the text of 'r' has changed since the run was trained {new_symbols}")
        assert changed.endswith("; name the text to score: --text FILE")
    text.unlink()
    assert f"there is no text at {str(text.resolve())!r}" in toolkit.error(
        "train", "--resume", "r", "--max-steps", "5"
    )
    assert "there is no text at" in toolkit.error("evaluate", "r")
    toolkit.ok("sample", "r", "--length", "3")  # needs no text


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--lstm-size", "9", "--lstm-size 8, but 9 was given"),
        ("--num-layers", "3", "--num-layers 2, but 3 was given"),
        ("--dropout", "0.5", "--dropout 0.0, but 0.5 was given"),
        ("--batch-size", "5", "--batch-size 4, but 5 was given"),
        ("--num-steps", "9", "--num-steps 8, but 9 was given"),
        ("--vocabulary", "byte", "--vocabulary char, but byte was given"),
        ("--validation-share", "0.2", "--validation-share 0.1, but 0.2 was given"),
        ("--seed", "1", "--seed 0, but 1 was given"),
    ],
)
def test_resume_as_another_run(toolkit: Toolkit, run: Path, option: str, value: str, expected: str) -> None:
    message = toolkit.error("train", "--resume", run, option, value, "--max-steps", "40")
    assert expected in message
    assert "; --resume can't change this setting; leave it out, or start a new run" in message
    of_weights = option in {"--lstm-size", "--num-layers", "--vocabulary"}
    assert (f"--init-from {run}" in message) != of_weights


def test_resume_with_the_same_settings_in_other_words_is_fine(toolkit: Toolkit, run: Path) -> None:
    toolkit.ok(
        "train", "--resume", run, "--max-steps", "31", "--lstm-size", "08", "--validation-share", "1e-1"
    )


def test_resume_of_a_finished_run(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    message = f"'{run}' is at step 30 and has reached its limit, --max-steps 30"
    advice = "raise it to continue"  # its epochs are set as well
    assert toolkit.error("train", "--resume", run) == f"{message}; {advice}"
    toolkit.ok("train", text_file, *TINY, "--epochs", "1", "--run", "whole")
    message = "has reached its limit, --epochs 1; raise it, or give --max-steps instead, to continue"
    assert message in toolkit.error("train", "--resume", "whole")
    toolkit.ok("train", "--resume", "whole", "--max-steps", "100")  # the advice works
    toolkit.ok("train", text_file, "--recipe", "auto", "--max-steps", "2", "--threads", "1", "--run", "steps")
    assert "raise it, or give --epochs instead, to continue" in toolkit.error("train", "--resume", "steps")


def test_a_run_that_exists(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    message = toolkit.error("train", text_file, *TINY, "--run", run)
    assert message.startswith(
        f"the run '{run}' already exists; continue it with --resume {run}, replace it with --overwrite"
    )
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2", "--run", run, "--overwrite")
    assert [record["step"] for record in lines_of(run / "metrics.jsonl")] == [2]
    assert [entry.name for entry in run.parent.iterdir()] == [run.name]


@pytest.mark.parametrize("flag", [(), ("--overwrite",)])
def test_what_is_not_a_run_is_never_overwritten(
    toolkit: Toolkit, text_file: Path, flag: tuple[str, ...]
) -> None:
    Path("papers").mkdir()
    Path("papers/thesis.txt").write_text("years of work")
    message = toolkit.error("train", text_file, *TINY, "--run", "papers", *flag)
    assert message.startswith("'papers' already exists and is not a charkit run, so it is never overwritten")
    assert "is not a charkit run" in toolkit.error(
        "train", text_file, *TINY, "--run", "papers/thesis.txt", *flag
    )


def test_overwriting_with_a_bad_text_keeps_the_run(toolkit: Toolkit, run: Path) -> None:
    assert "there is no text at" in toolkit.error("train", "absent.txt", "--run", run, "--overwrite")


@pytest.mark.parametrize(
    ("prime", "expected"),
    [
        ("Ω", "'Ω' (1)"),
        ("The ΩωΩ", "'Ω' (2), 'ω' (1)"),
    ],
)
def test_prime_with_unknown_symbols(toolkit: Toolkit, run: Path, prime: str, expected: str) -> None:
    message = toolkit.error("sample", run, "--prime", prime)
    assert expected in message
    assert "--unknown skip" in message
    skipped = toolkit.ok("sample", run, "--prime", prime, "--unknown", "skip", "--length", "3", "--seed", "1")
    assert "note: skipped symbols of the prime text that the model has never seen: " in skipped.err
    assert "Ω" not in skipped.out


def test_prime_file_that_can_not_be_read(toolkit: Toolkit, run: Path) -> None:
    message = toolkit.error("sample", run, "--prime-file", "absent.txt")
    assert message.startswith("can't read the prime file 'absent.txt': No such file or directory; give ")
    Path("latin.txt").write_bytes(b"caf\xe9")
    assert toolkit.error("sample", run, "--prime-file", "latin.txt") == (
        "the prime file 'latin.txt' is not UTF-8 (invalid byte at offset 3); save it as UTF-8"
    )
    Path("folder").mkdir()
    assert "Is a directory" in toolkit.error("sample", run, "--prime-file", "folder")


def no_room(_handle: int) -> None:
    """Stands for ``os.fsync`` on a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_leaves_no_new_run(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", no_room)
    message = toolkit.error("train", text_file, *TINY, "--run", "deep/er/run")
    assert message == "can't write 'deep/er/run': the disk is full; free some space"


def test_a_disk_that_fills_up_keeps_the_last_whole_checkpoint(
    toolkit: Toolkit, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(run)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_room)
        outcome = toolkit(
            "train", "--resume", run, "--max-steps", "34", "--log-every", "100", "--threads", "1"
        )
    assert outcome.status == 2
    assert outcome.err.splitlines()[-1].startswith(
        f"error: can't write '{run}/checkpoints/00000034': the disk is full"
    )
    after = snapshot(run)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert changed <= {"sessions.jsonl", "metrics.jsonl", "samples.jsonl"}
    toolkit.ok("train", "--resume", run, "--max-steps", "34", "--threads", "1")
    assert [record["step"] for record in lines_of(run / "metrics.jsonl")][-2:] == [30, 34]


def test_a_full_disk_while_a_report_is_written(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = OpenFolder.append

    def refuse(folder: OpenFolder, name: str, line: bytes) -> None:
        if name == "metrics.jsonl":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(folder, name, line)

    monkeypatch.setattr(OpenFolder, "append", refuse)
    outcome = toolkit("train", text_file, *TINY, "--max-steps", "8", "--run", "r")
    assert outcome.status == 2
    assert (
        outcome.err.splitlines()[-1]
        == "error: can't write 'r/metrics.jsonl': the disk is full; free some space"
    )


def test_runs_folder_that_can_not_be_written(toolkit: Toolkit, text_file: Path) -> None:
    Path("runs").write_text("a file where the folder should be")
    message = toolkit.error("train", text_file, *TINY)
    assert message.startswith("can't write 'runs/small-1': a file is in the way; choose another")


def test_a_run_in_training_is_left_alone(toolkit: Toolkit, text_file: Path) -> None:
    child = start(
        "train", text_file, *TINY, "--max-steps", "10000000", "--epochs", "1000000", "--run", "busy"
    )
    try:
        wait_for(child, "step 5/")
        for command in (
            ("train", "--resume", "busy"),
            ("train", str(text_file), *TINY, "--run", "busy", "--overwrite"),
        ):
            refused: Outcome = toolkit(*command)
            assert refused.status == 2
            message = only_error(refused.err)
            assert message.startswith(f"the run 'busy' is being trained by process {child.pid}; ")
        toolkit.ok("sample", "busy", "--length", "3")  # reading is no harm
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()
    # Its lock went with it. It may have come to any step meanwhile.
    toolkit.ok("train", "--resume", "busy", "--threads", "1", "--time-limit", "0.001s")


def test_a_run_may_move(toolkit: Toolkit, run: Path) -> None:
    shutil.move(run, "elsewhere")
    toolkit.ok("train", "--resume", "elsewhere", "--max-steps", "31")
    toolkit.ok("evaluate", "elsewhere")
