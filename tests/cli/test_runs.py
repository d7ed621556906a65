"""``toolkit runs``: every run is a row, also a damaged one, in the order that is asked for."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest
from rich.console import Console

import charkit
from charkit.errors import ConfigurationError, RunError
from charkit.runs.listing import PYTHON_REFERENCE, ListedRun, ListedRuns, RunOrder, cells_of
from charkit_cli import runs as runs_command
from cli_support import TINY, Toolkit

LISTED = ListedRun(
    "python-reference-1", Path("runs/python-reference-1"), PYTHON_REFERENCE, 2, 128, 226_000, "numpy", 12_345, 1.2345,
    datetime(2025, 12, 31, 12, 30, tzinfo=UTC),
)  # fmt: skip
DAMAGED = ListedRun("gone-1", Path("runs/gone-1"), problem="it is gone")


@pytest.fixture
def runs(toolkit: Toolkit, run: Path, text_file: Path) -> Path:
    """Three runs: small-1 of 30 steps, wide-1 larger and younger, and one without a text."""
    toolkit.ok("train", text_file, *TINY, "--lstm-size", "12", "--max-steps", "3", "--run", "runs/wide-1")
    for name, second in (("small-1", 1_000_000_000), ("wide-1", 1_000_000_060)):
        os.utime(Path("runs") / name / "latest", (second, second))
    return run.parent


def names(toolkit: Toolkit, *arguments: str) -> list[str]:
    return [run["name"] for run in toolkit.json("runs", *arguments)["runs"]]


def test_a_run_that_patience_ended_has_no_steps_left(toolkit: Toolkit, text_file: Path) -> None:
    options = ("--learning-rate", "1e-12", "--patience", "2", "--eval-every", "2", "--max-steps", "40")
    result = toolkit.json("train", text_file, *TINY, *options, "--run", "runs/idle")
    assert (result["stopped_because"], result["step"]) == ("patience", 6)
    (run,) = toolkit.json("runs")["runs"]
    assert (run["steps"], run["planned_steps"]) == (6, 6)


@pytest.mark.usefixtures("runs")
def test_a_run_is_a_row(toolkit: Toolkit) -> None:
    first, second = toolkit.json("runs")["runs"]
    assert (first["name"], first["text"], first["backend"], first["steps"]) == (
        "wide-1",
        "small.txt",
        "numpy",
        3,
    )
    assert (second["lstm_size"], second["num_layers"], second["steps"]) == (8, 2, 30)
    progress = json.loads(Path("runs/small-1/checkpoints/00000030/progress.json").read_text())
    assert second["best_loss"] == progress["best_validation_loss"]
    assert second["saved"] == "2001-09-09T01:46:40+00:00"
    said = toolkit.ok("runs").out
    assert "2 x 12" in said
    assert f"{second['best_loss']:.4f}" in said
    assert max(map(len, said.splitlines())) <= 90


def test_an_unfinished_run_shows_its_planned_steps(toolkit: Toolkit, text_file: Path) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "2000", "--stop-at", "3", "--run", "runs/begun")
    toolkit.ok("train", text_file, *TINY, "--max-steps", "3", "--run", "runs/ended")
    toolkit.ok("train", text_file, *TINY, "--epochs", "9", "--stop-at", "3", "--run", "runs/by-epochs")
    planned = {run["name"]: run["planned_steps"] for run in toolkit.json("runs")["runs"]}
    steps_per_epoch = planned["by-epochs"] // 9
    assert planned == {"begun": 20 * steps_per_epoch, "ended": 3, "by-epochs": 9 * steps_per_epoch}
    result = toolkit.json("train", "--resume", "runs/by-epochs")
    assert result["step"] == planned["by-epochs"]
    lines = {line.split()[0]: line.split() for line in toolkit.ok("runs").out.splitlines() if line.strip()}
    assert f"3/{planned['begun']:,}" in lines["begun"]
    assert "3" in lines["ended"]
    assert f"{planned['by-epochs']:,}" in lines["by-epochs"]
    sessions = Path("runs/begun/sessions.jsonl")
    sessions.write_text(
        sessions.read_text("utf-8").replace('"symbols": ', '"symbols": "?", "was": '), "utf-8"
    )
    assert {run["name"]: run["planned_steps"] for run in toolkit.json("runs")["runs"]}["begun"] is None


@pytest.mark.usefixtures("runs")
def test_the_order(toolkit: Toolkit) -> None:
    assert names(toolkit) == ["wide-1", "small-1"]
    assert names(toolkit, "--reverse") == ["small-1", "wide-1"]
    assert names(toolkit, "--sort", "name") == ["small-1", "wide-1"]
    assert names(toolkit, "--sort", "size", "--reverse") == ["wide-1", "small-1"]
    assert names(toolkit, "--sort", "steps") == ["wide-1", "small-1"]
    losses = [run["best_loss"] for run in toolkit.json("runs", "--sort", "loss")["runs"]]
    assert losses == sorted(losses)
    assert "is not one of 'name', 'text'" in toolkit.error("runs", "--sort", "color")
    with pytest.raises(ConfigurationError, match="unknown sort 'color'"):
        charkit.list_runs(sort="color")  # type: ignore[arg-type]


def test_runs_beside_a_run_are_found_by_the_command_given(
    toolkit: Toolkit, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolkit.ok("train", text_file, *TINY, "--max-steps", "1", "--run", "runs/one")
    monkeypatch.chdir("runs/one")
    said = toolkit.ok("runs", ".").out
    assert said.endswith("to list the runs next to it: toolkit runs ..\n")
    assert "one" in toolkit.ok("runs", "..").out
    monkeypatch.chdir("checkpoints")
    assert toolkit.ok("runs", "..").out.endswith("next to it: toolkit runs ../..\n")


def test_a_damaged_run_is_a_row_that_says_so(toolkit: Toolkit, runs: Path) -> None:
    for name in ("cut", "emptied", "unreadable", "lost"):
        shutil.copytree(runs / "small-1", runs / name)
    with (runs / "cut/checkpoints/00000030/model.safetensors").open("r+b") as file:
        file.truncate(100)
    shutil.rmtree(runs / "emptied/checkpoints")
    (runs / "unreadable/config.json").write_text("no JSON")
    (runs / "lost/checkpoints/00000030/progress.json").unlink()
    (runs / "notes").mkdir()
    (runs / "file.txt").write_text("no run")
    problems = {run["name"]: run["problem"] for run in toolkit.json("runs")["runs"]}
    assert problems.keys() == {"small-1", "wide-1", "cut", "emptied", "unreadable", "lost"}
    assert problems["small-1"] is None
    assert " has 100 bytes, not " in problems["cut"]
    assert "checkpoint" in problems["emptied"]
    assert "config.json" in problems["unreadable"]
    assert problems["lost"] == "progress.json of checkpoint 00000030 is missing"
    outcome = toolkit.ok("runs")
    assert not re.search(r"^ *damaged$", outcome.out, re.M)
    for name in ("cut", "emptied", "unreadable", "lost"):
        assert f"{name} is damaged: " in outcome.out
    assert outcome.out.rstrip().endswith("to check a run: toolkit check RUN")


def test_a_prepared_text_is_no_row(toolkit: Toolkit, run: Path, text_file: Path) -> None:
    toolkit.ok("prepare", text_file, "--out", run.parent / "prepared")
    assert names(toolkit) == ["small-1"]


def test_no_runs(toolkit: Toolkit) -> None:
    assert toolkit.ok("runs").out == "no runs in 'runs'; to train one: toolkit train\n"
    assert toolkit.json("runs") == {"runs": []}
    assert (
        toolkit.error("runs", "absent")
        == "directory 'absent' doesn't exist; give a directory that contains runs"
    )
    Path("a.txt").write_text("no run")
    assert toolkit.error("runs", "a.txt") == "'a.txt' is not a directory; give a directory that contains runs"
    with pytest.raises(RunError, match="doesn't exist"):
        charkit.list_runs("absent")


def test_texts_of_runs(toolkit: Toolkit, run: Path) -> None:
    charkit.train(
        string="abc " * 500,
        recipe="classic",
        lstm_size=4,
        batch_size=4,
        max_steps=1,
        run="runs/string-1",
        threads=1,
    )
    toolkit.ok("export", run, "--out", "a.safetensors")
    toolkit.ok("import", "a.safetensors", "--out", "runs/imported-1")
    texts = {each.name: (each.text, each.backend) for each in charkit.list_runs()}
    assert texts == {
        "small-1": ("small.txt", "numpy"), "string-1": ("the text stored in the run", "numpy"),
        "imported-1": ("", None),
    }  # fmt: skip


def test_a_notebook_shows_a_table(run: Path) -> None:
    page = charkit.list_runs()._repr_html_()
    assert page.count("<tr>") == 2
    assert "small-1" in page


@pytest.mark.usefixtures("runs")
def test_a_directory_that_can_not_be_read_is_a_row(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("runs/locked").mkdir()
    real = os.lstat

    def lstat(path: str | os.PathLike[str], **options: Any) -> os.stat_result:
        if os.path.basename(os.path.dirname(path)) == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    assert names(toolkit) == ["wide-1", "small-1", "locked"]
    assert toolkit.json("runs")["runs"][2]["problem"]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("sort", get_args(RunOrder))
def test_damaged_runs_come_last_in_any_order(
    toolkit: Toolkit, runs: Path, sort: RunOrder, *, reverse: bool
) -> None:
    """Also where what they are sorted by can be read: their names, their times, and a text that comes first."""
    for name in ("a-damaged", "z-damaged"):
        shutil.copytree(runs / "small-1", runs / name)
        (runs / name / "checkpoints/00000030/progress.json").unlink()
    options = ("--sort", sort, *(["--reverse"] if reverse else []))
    listed = names(toolkit, *options)
    assert set(listed[:2]) == {"small-1", "wide-1"}
    assert set(listed[2:]) == {"a-damaged", "z-damaged"}
    assert [run.name for run in charkit.list_runs(sort=sort, reverse=reverse)] == listed
    rows = [line.split()[0] for line in toolkit.ok("runs", *options).out.splitlines() if line.strip()]
    assert rows[2:6] == listed


def test_the_help_says_where_damaged_runs_are(toolkit: Toolkit) -> None:
    assert "damaged runs come last" in " ".join(toolkit.ok("runs", "--help").out.replace("│", " ").split())


@pytest.mark.parametrize("directory", [5, b"runs", None, "runs\0"])
def test_what_is_no_path_is_refused_in_python(directory: Any) -> None:
    with pytest.raises(
        ConfigurationError, match=r"^`directory` must (be a path|not contain a null character); given"
    ):
        charkit.list_runs(directory)


@pytest.fixture
def show(toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lists these runs on a terminal of so many columns; the lines that are shown."""

    def lines(listed: list[ListedRun], columns: int) -> list[str]:
        shown = io.StringIO()
        console = Console(file=shown, width=columns, highlight=False)
        monkeypatch.setattr(runs_command, "to_user", lambda: console)
        monkeypatch.setattr(runs_command, "list_runs", lambda *_arguments, **_options: ListedRuns(listed))
        toolkit.ok("runs")
        return shown.getvalue().splitlines()

    return lines


@pytest.mark.parametrize("columns", [100, 80, 60, 50, 30])
def test_a_narrow_terminal_shows_every_name_and_loss(show: Callable[..., list[str]], columns: int) -> None:
    """The text is what shortens first, and a long name goes on in the next line."""
    lines = show([LISTED, replace(LISTED, name="anna-1"), DAMAGED], columns)
    assert max(map(len, lines)) <= columns
    first = "".join(line[1:].split("  ")[0].strip() for line in lines if line.startswith(" "))
    assert first.strip("─").replace("name", "").lstrip("─") == f"{LISTED.name}anna-1gone-1"
    assert sum(line.count("1.2345") for line in lines) == 2
    assert any("Python'" in line for line in lines) == (columns >= 80)
    assert any(line.startswith("the terminal is too narrow") for line in lines) == (columns < 80)
    assert any(line.endswith("damaged") or "damaged  " in line for line in lines) == (columns >= 50)
    assert any(line.startswith("gone-1 is damaged: it is gone") for line in lines)


@pytest.mark.parametrize("columns", [100, 80, 60])
def test_dates_and_damaged_break_at_no_letter(show: Callable[..., list[str]], columns: int) -> None:
    shown = "\n".join(show([LISTED, replace(LISTED, name="anna-1" * 4), DAMAGED], columns))
    assert "2025-12-31" in shown
    assert re.search(r"^ gone-1 .*damaged", shown, re.MULTILINE)


@pytest.mark.parametrize("columns", [120, 10_000])
def test_nothing_is_shortened_where_there_is_room(show: Callable[..., list[str]], columns: int) -> None:
    row = f" {LISTED.name}   {PYTHON_REFERENCE}   2 x 128   numpy     12,345      1.2345   {cells_of(LISTED)[-1]}"
    assert row in [line.rstrip() for line in show([LISTED], columns)]


def test_a_run_is_no_directory_of_runs(toolkit: Toolkit, run: Path) -> None:
    said = toolkit.ok("runs", run).out
    assert (
        said
        == f"no runs in {str(run)!r}; this directory is itself a run; to list the runs next to it: toolkit runs "
        f"{run.parent}\n"
    )
