"""The page on following runs: its commands run, its tables are complete, and its observer observes."""

from __future__ import annotations

import random
import re
import shlex
import tomllib
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import pytest

import charkit
from charkit import events
from charkit.observers.hookspecs import ENTRY_POINT_GROUP
from cli_support import TINY, Toolkit
from guide.pages import blocks, example_files, read, table_rows, write_example
from plugin_support import InstalledSite
from support import SMALL_TEXT

PAGE = read("following")
PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]


def own_trackers() -> dict[str, str]:
    """charkit's own trackers, and what each of them loads."""
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {entry.name: entry.value for entry in found if entry.value.startswith("charkit_trackers.")}


def test_its_commands_and_its_python_run(toolkit: Toolkit, text_file: Path) -> None:
    Path("anna.txt").write_text(SMALL_TEXT, "utf-8")
    for number in (1, 2):
        toolkit.ok("train", "anna.txt", *TINY, "--max-steps=20", f"--run=runs/anna-{number}")
    commands = [shlex.split(line) for block in blocks(PAGE) for line in block.splitlines()]
    assert len(commands) == 5
    run = [command for command in commands if "--watch" not in command and "--track" not in command]
    for command in run:
        assert command[0] == "toolkit"
        assert toolkit.ok(*command[1:]).out.startswith("report: reports/anna")
    python = next(block for block in blocks(PAGE, "python") if "charkit.report" in block)
    assert python == 'charkit.report(["runs/anna-1", "runs/anna-2"], out="reports/anna")\n'
    assert charkit.report(["runs/anna-1", "runs/anna-2"], out="reports/anna") == Path(
        "reports/anna/report.html"
    )


def test_its_table_has_every_tracker_and_its_extra() -> None:
    rows = {row[0].strip("`"): row for row in table_rows(PAGE) if row[0].strip("`") in own_trackers()}
    assert set(rows) == set(own_trackers())
    assert rows["csv"][1] == "nothing"
    for name in set(rows) - {"csv"}:
        (library,) = PYPROJECT["optional-dependencies"][name]
        assert rows[name][1] == f"`pip install {re.split('[<>=]', library)[0]}`"


def test_its_table_has_every_event() -> None:
    named = [
        name for row in table_rows(PAGE) for name in re.findall(r"`(\w+)`", row[0]) if hasattr(events, name)
    ]
    shown_to_the_user_alone = {"ObserverMessage"}
    assert sorted(named) == sorted(
        {event.__name__ for event in get_args(events.Event)} - shown_to_the_user_alone
    )


def test_its_observer_is_of_about_twenty_lines() -> None:
    files = example_files("following")
    assert sorted(files) == ["overfitting_observer.py", "pyproject.toml"]
    assert len([line for line in files["overfitting_observer.py"].splitlines() if line.strip()]) <= 20


def test_its_observer_warns_of_overfitting(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    site = InstalledSite(tmp_path / "site").install(write_example("following", tmp_path / "example"))
    words = shlex.split("the grey cat sat on a mat and slept while rain fell over hills far away from towns")
    draw = random.Random(1)
    Path("anna.txt").write_text(" ".join(draw.choice(words) for _ in range(260)), "utf-8")
    (command,) = [block for block in blocks(PAGE) if "--track overfitting" in block]
    small = (
        "--recipe=classic --lstm-size=48 --num-layers=1 --batch-size=4 --num-steps=16 --learning-rate=0.02"
    )
    options = f"{small} --validation-share=0.3 --sample-length=0 --epochs=24 --threads=1"
    outcome = site.ok(*shlex.split(command)[1:], *options.split())
    notes = [line for line in outcome.err.splitlines() if line.startswith("note: overfitting: ")]
    losses = [
        (record.step, record.validation_loss)
        for record in charkit.load_run("runs/anna-1").history
        if record.validation_loss is not None
    ]
    rising = [
        step
        for (_, first), (_, second), (step, third) in zip(losses, losses[1:], losses[2:], strict=False)
        if first < second < third
    ]
    assert notes == [
        f"note: overfitting: the validation loss has been rising up to step {step}" for step in rising
    ]
    assert rising


@pytest.mark.parametrize("picture", ["report", "tensorboard"])
def test_its_pictures_are_there(picture: str) -> None:
    assert f"](pictures/{picture}.png)" in PAGE
