"""The CSV observer: every report and sample, exact, and one file for all sessions of a run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import charkit
from charkit.runs.records import METRICS, SAMPLES
from charkit.runs.run import Run
from support import SMALL, SMALL_TEXT
from training_support import train


def rows(run: Path, name: str) -> list[dict[str, str]]:
    with (run / "tracking" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def records(run: Path, name: str, renamed: dict[str, str]) -> list[dict[str, str]]:
    """What the run itself keeps, as CSV has it."""
    return [
        {renamed.get(key, key): text(value) for key, value in record.items() if renamed.get(key, key)}
        for record in Run.open(run).records(name)
    ]


def text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)


def sorted_rows(found: list[dict[str, str]]) -> list[list[tuple[str, str]]]:
    return [sorted(row.items()) for row in found]


def is_complete(run: Path) -> None:
    metrics = records(run, METRICS, {})
    assert sorted_rows(rows(run, "metrics.csv")) == sorted_rows(metrics)
    samples = records(run, SAMPLES, {"sample": "text", "epoch": ""})
    assert sorted_rows(rows(run, "samples.csv")) == sorted_rows(samples)


def test_it_has_every_report_and_sample_exactly(text_file: Path) -> None:
    result = train(text_file, max_steps=30, eval_every=7, track="csv")
    assert len(rows(result.run, "metrics.csv")) == len(result.history)
    assert len(rows(result.run, "samples.csv")) == 5
    is_complete(result.run)
    assert charkit.check(result.run).whole


def test_a_resumed_run_goes_on_in_the_same_file(text_file: Path) -> None:
    result = train(text_file, max_steps=20, eval_every=7, track="csv")
    train(resume=result.run, max_steps=40, track="csv")
    is_complete(result.run)
    assert [row["step"] for row in rows(result.run, "metrics.csv")][-1] == "40"


def test_steps_that_are_trained_again_are_not_there_twice(text_file: Path, tmp_path: Path) -> None:
    result = train(text_file, max_steps=20, eval_every=7, track="csv")
    file = result.run / "tracking" / "metrics.csv"
    # A killed session reports steps that no checkpoint has, and leaves half a line.
    file.write_text(file.read_text("utf-8") + "25,1,3.1,,0.001,0.1,1.0,1.0\n30,1,3", "utf-8")
    train(resume=result.run, max_steps=30, track="csv")
    is_complete(result.run)


def test_a_run_that_was_moved_goes_on_where_it_is(text_file: Path) -> None:
    result = train(text_file, max_steps=10, track="csv")
    moved = result.run.rename("moved")
    train(resume=moved, max_steps=20, track="csv")
    is_complete(moved)
    assert not result.run.exists()


def test_a_run_that_is_overwritten_begins_anew(text_file: Path) -> None:
    train(text_file, run="one", max_steps=20, track="csv")
    train(text_file, run="one", overwrite=True, max_steps=10, track="csv")
    is_complete(Path("one"))
    train(text_file, run="one", overwrite=True, max_steps=10)
    assert not Path("one/tracking").exists()


def test_a_carriage_return_ends_no_row_and_survives_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "mac.txt"
    path.write_bytes(SMALL_TEXT.replace("\n", "\r").encode())
    settings = {**SMALL, "sample_length": 200, "threads": 1}
    result = charkit.train(path, newlines="keep", max_steps=30, eval_every=5, track="csv", **settings)
    assert any("\r" in row["text"] for row in rows(result.run, "samples.csv"))
    is_complete(result.run)
    train(resume=result.run, max_steps=40, track="csv")
    is_complete(result.run)
