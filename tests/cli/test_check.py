"""``toolkit check``: what is whole, what is not, and what ``--repair`` does about it."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import charkit
from charkit.errors import ConfigurationError
from charkit.runs.lock import locked
from charkit.runs.temporary_names import temporary_name
from cli_support import TINY, Toolkit, snapshot


@pytest.fixture
def longer(toolkit: Toolkit, run: Path) -> Path:
    """The run at step 34, with the checkpoints 30, which is the best, and 34."""
    toolkit.ok("train", "--resume", run, "--max-steps", "34", "--learning-rate", "50", "--threads", "1")
    assert [path.name for path in sorted((run / "checkpoints").iterdir())] == ["00000030", "00000034"]
    return run


def break_checkpoint(run: Path, name: str) -> None:
    path = run / "checkpoints" / name / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def test_a_whole_run(toolkit: Toolkit, longer: Path) -> None:
    before = snapshot(longer)
    outcome = toolkit.ok("check", longer)
    assert [line.split() for line in outcome.out.splitlines() if "0000003" in line and "intact" in line] == [
        ["34", "00000034", "intact"],
        ["30", "00000030", "intact"],
    ]
    assert f"{longer} is intact" in outcome.out
    assert "metrics.jsonl: 7 lines, steps 5 to 34" in outcome.out
    told = toolkit.json("check", longer)
    assert (told["whole"], told["usable_steps"], told["debris"]) == (True, [34, 30], [])
    assert snapshot(longer) == before
    assert toolkit.json("check", longer, "--repair")["repaired"] == []
    assert snapshot(longer) == before


def test_what_was_found_is_a_table_in_a_notebook(longer: Path) -> None:
    table = charkit.check(longer)._repr_html_()
    assert table.startswith("<table>")
    for shown in (str(longer), ">intact<", ">2 of 2<"):
        assert shown in table
    break_checkpoint(longer, "00000034")
    table = charkit.check(longer, repair=True)._repr_html_()
    for shown in (
        ">damaged<",
        ">1 of 2<",
        ">checkpoint 00000034<",
        ">repaired<",
        ">pointed &#x27;latest&#x27; at 00000030<",
    ):
        assert shown in table
    assert "does not match the manifest" in table


def test_the_newest_run_is_checked_where_none_is_named(toolkit: Toolkit, run: Path) -> None:
    assert toolkit.json("check")["run"] == str(run)


def test_a_damaged_checkpoint_and_its_repair(toolkit: Toolkit, longer: Path) -> None:
    break_checkpoint(longer, "00000034")
    outcome = toolkit("check", longer)
    assert outcome.status == 1
    assert "model.safetensors does not match the manifest" in outcome.out
    assert "latest: checkpoint 00000034 is damaged" in outcome.out
    verdict = f"{longer} is damaged; its newest intact checkpoint is at step 30"
    advice = f"to point latest and best at intact checkpoints: toolkit check {longer} --repair"
    assert outcome.out.endswith(f"{verdict}; {advice}\n")
    repaired = toolkit("check", longer, "--repair", "--json")
    assert repaired.status == 1  # the damaged checkpoint stays
    assert toolkit("check", longer, "--repair").out.endswith(f"{verdict}\n")
    assert json.loads(repaired.out)["repaired"] == ["pointed 'latest' at 00000030"]
    assert json.loads((longer / "latest").read_text())["checkpoint"] == "00000030"
    assert (longer / "checkpoints" / "00000034").is_dir()
    shutil.rmtree(longer / "checkpoints" / "00000034")
    toolkit.ok("check", longer)


def test_a_best_that_is_lost(toolkit: Toolkit, longer: Path) -> None:
    shutil.rmtree(longer / "checkpoints" / "00000030")
    assert "best: checkpoint 00000030 is missing" in toolkit("check", longer).out
    toolkit.ok("check", longer, "--repair")
    assert toolkit.ok("sample", longer, "--length", "3", "--seed", "1").err == ""


def test_a_best_that_is_lost_before_any_other_was_scored(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "4", "--eval-every", "4", "--run", "r")
    shutil.rmtree("r/checkpoints/00000004")
    outcome = toolkit.ok("check", "r", "--repair")
    assert "repaired: removed 'best' repaired: pointed 'latest' at 00000000" in " ".join(outcome.out.split())
    assert charkit.check("r").whole
    toolkit.ok("sample", "r", "--length", "3")


def test_the_verdict_says_how_to_remove_what_is_partially_written(toolkit: Toolkit, longer: Path) -> None:
    (longer / f".charkit-tmp-{'0' * 16}-README.md").touch()
    outcome = toolkit.ok("check", longer)
    assert "partially written: .charkit-tmp-" in outcome.out
    advice = f"to remove the partially written files: toolkit check {longer} --repair"
    assert outcome.out.endswith(f"{longer} is intact; {advice}\n")
    assert toolkit.ok("check", longer, "--repair").out.endswith(f"{longer} is intact\n")
    assert toolkit.ok("check", longer).out.endswith(f"{longer} is intact\n")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"checkpoint": 7}', '{"checkpoint": "../../x"}'])
@pytest.mark.parametrize("name", ["best", "latest"])
def test_pointers_that_can_not_be_read(toolkit: Toolkit, longer: Path, name: str, content: str) -> None:
    (longer / name).write_text(content)
    assert toolkit("check", longer).status == 1
    assert f"pointed {name!r} at 000000" in toolkit.ok("check", longer, "--repair").out
    assert charkit.check(longer).whole


def test_a_folder_in_place_of_a_pointer_is_left_alone(toolkit: Toolkit, longer: Path) -> None:
    (longer / "latest").unlink()
    (longer / "latest").mkdir()
    break_checkpoint(longer, "00000030")  # so that best is repaired
    outcome = toolkit("check", longer, "--repair")
    assert outcome.status == 1
    assert "latest' is a directory" in outcome.out
    assert "repaired: pointed 'best' at 00000034" in outcome.out
    assert (longer / "latest").is_dir()


def test_best_and_latest_swapped_is_seen_and_the_right_one_is_sampled(toolkit: Toolkit, longer: Path) -> None:
    right = toolkit.ok("sample", longer, "--seed", "1").out
    best, latest = (longer / "best").read_bytes(), (longer / "latest").read_bytes()
    (longer / "best").write_bytes(latest)
    (longer / "latest").write_bytes(best)
    outcome = toolkit.ok("sample", longer, "--seed", "1")
    assert outcome.out == right
    assert (
        "note: 'best' points to 00000034, but the newest checkpoint records 00000030 as the best"
        in outcome.err
    )
    toolkit.ok("check", longer, "--repair")
    assert (longer / "best").read_bytes() == best


def test_a_latest_that_is_missing_is_said(toolkit: Toolkit, longer: Path) -> None:
    shutil.rmtree(longer / "checkpoints" / "00000034")
    outcome = toolkit.ok("sample", longer, "--checkpoint", "latest", "--length", "3")
    assert (
        "note: the latest checkpoint, 00000034, is missing; using 00000030, the newest intact one"
        in outcome.err
    )


def test_only_what_charkit_left_is_removed(toolkit: Toolkit, longer: Path) -> None:
    left = longer / temporary_name("latest")
    shutil.copy(longer / "latest", left)
    half = longer / "checkpoints" / temporary_name("00000036")
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    strangers = [longer / "notes.txt", longer / ".latest-mine", longer / "checkpoints" / "00000030-backup"]
    strangers += [longer / "checkpoints" / name for name in ("20250101", ".00000040-oldstuff")]
    for stranger in strangers:
        stranger.mkdir()
    (longer / "checkpoints" / "20250101" / "notes.txt").write_text("mine")
    outcome = toolkit.ok("check", longer)  # what a killed process left is no damage
    assert f"partially written: {left.name}" in outcome.out
    assert f"partially written: checkpoints/{half.name}" in outcome.out
    for name in ("00000030-backup", "20250101", ".00000040-oldstuff"):
        assert f"not written by charkit, left alone: checkpoints/{name}" in outcome.out
    repaired = toolkit.json("check", longer, "--repair")["repaired"]
    assert repaired == [f"removed {left.name}", f"removed checkpoints/{half.name}"]
    assert not left.exists()
    assert not half.exists()
    assert all(stranger.is_dir() for stranger in strangers)


def test_no_checkpoint_is_whole(toolkit: Toolkit, longer: Path) -> None:
    for name in ("00000030", "00000034"):
        break_checkpoint(longer, name)
    for arguments in ((), ("--repair",)):
        outcome = toolkit("check", longer, *arguments)
        assert outcome.status == 1
        assert "none of its checkpoints is intact, so it can't be used" in outcome.out


def test_one_line_is_one_line(toolkit: Toolkit, run: Path) -> None:
    with (run / "sessions.jsonl").open() as sessions:
        assert len(list(sessions)) == 1
    assert "sessions.jsonl: 1 line, step 0" in toolkit.ok("check", run).out


def test_what_can_not_be_checked(toolkit: Toolkit, run: Path) -> None:
    assert "is not a charkit run" in toolkit.error("check", "absent")
    with locked(run):
        assert "is being trained by process" in toolkit.error("check", run, "--repair")
        toolkit.ok("check", run)
    (run / "vocabulary.json").write_text("{}")
    assert "is damaged: the vocabulary is damaged" in toolkit.error("check", run)


def test_lines(toolkit: Toolkit, run: Path) -> None:
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 31, "lo')
    outcome = toolkit.ok("check", run)
    assert "metrics.jsonl: 6 lines, steps 5 to 30, 1 truncated line skipped" in outcome.out
    (run / "samples.jsonl").unlink()
    os.mkfifo(run / "samples.jsonl")
    outcome = toolkit("check", run)
    assert outcome.status == 1
    assert "samples.jsonl' is a named pipe" in outcome.out


@pytest.mark.parametrize("string", ["abc " * 500, "é\r\n\U0001f408\n" * 300])
@pytest.mark.parametrize("damage", ["changed", "gone", "a link"])
def test_a_text_that_the_run_stores(toolkit: Toolkit, string: str, damage: str) -> None:
    charkit.train(string=string, recipe="classic", lstm_size=4, batch_size=4, max_steps=1, run="r", threads=1)
    assert toolkit.json("check", "r")["text_problem"] is None
    text = Path("r/text.txt")
    content = text.read_bytes()
    text.unlink()
    if damage == "changed":
        text.write_bytes(content.swapcase() + b"\n")
        problem = "it has changed since the run was trained (SHA-256 "
    elif damage == "gone":
        problem = "it is missing"
    else:
        Path("elsewhere.txt").write_bytes(content)
        text.symlink_to(Path("elsewhere.txt").resolve())
        problem = "'r/text.txt' is a symbolic link, but a run may contain only regular files"
    for arguments in ((), ("--repair",)):
        outcome = toolkit("check", "r", *arguments)
        assert outcome.status == 1
        assert [line for line in outcome.out.splitlines() if line.startswith(f"text.txt: {problem}")]
        assert (
            "r is damaged; it can be sampled from, but not resumed until its text is restored" in outcome.out
        )
    found = charkit.check("r")
    assert not found.whole
    assert found.text_problem is not None
    assert found.text_problem.startswith(problem)
    assert ">text.txt<" in found._repr_html_()
    text.unlink(missing_ok=True)
    text.write_bytes(content)
    assert charkit.check("r").whole


def test_a_text_from_standard_input_is_checked_too(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = "é one two\r\nthree\n" * 200
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(raw.encode()), "utf-8"))
    toolkit.ok("train", "-", *TINY, "--max-steps", "1", "--run", "r")
    toolkit.ok("check", "r")
    with Path("r/text.txt").open("ab") as file:
        file.write(b"more")
    assert "text.txt: it has changed since the run was trained" in toolkit("check", "r").out


def test_the_text_of_other_runs_is_none_of_its_business(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    text_file.write_text("another text", "utf-8")
    toolkit.ok("check", run)
    (run / "text.txt").write_text("a stranger's", "utf-8")
    assert toolkit.json("check", run)["text_problem"] is None


@pytest.mark.parametrize("given", [5, b"runs/a-1", ["runs/a-1"], "runs\0"])
def test_what_is_no_path_is_refused_in_python(given: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`run` must (be a path|not contain a null character); given"
    ):
        charkit.check(given)
