"""What trackers read of a run: it may be a stranger's, so its notes and links lead nowhere else."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from charkit import events
from charkit.errors import StorageError
from charkit_trackers.csv_files import CsvObserver
from charkit_trackers.run_folder import read_identity, tracking_folder, write_identity
from training_support import train

SAMPLED = events.Sampled(step=5, text="a" * 200_000, prime="The", temperature=1.0, seed=1)


@pytest.fixture
def run(text_file: Path) -> Path:
    return train(text_file, max_steps=5, track="csv").run


def started(run: Path) -> events.Started:
    """The event of a second session, as the run's own records have it."""
    seen: list[Any] = []
    train(resume=run, max_steps=6, on_event=seen.append)
    return next(event for event in seen if isinstance(event, events.Started))


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_identity(tmp_path, "one", {"id": "7"})
    assert read_identity(tmp_path, "one", "id") == {"id": "7"}


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"id": 7}', '{"other": "7"}', "\xff", '{"id": ""}'])
def test_a_note_that_is_none_is_none(tmp_path: Path, note: str) -> None:
    (tracking_folder(tmp_path) / "one.json").write_bytes(note.encode("latin-1"))
    assert read_identity(tmp_path, "one", "id") == {}


def test_a_link_in_place_of_a_note_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"id": "7"}')
    (tracking_folder(tmp_path) / "one.json").symlink_to(tmp_path / "elsewhere.json")
    assert read_identity(tmp_path, "one", "id") == {}


def test_nothing_is_written_through_a_link(tmp_path: Path, run: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "metrics.csv").write_text("mine")
    event = started(run)
    (run / "tracking").rename(tmp_path / "before")
    (run / "tracking").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="is a symbolic link, but trackers write only inside the run"):
        CsvObserver().charkit_event(event)
    assert (elsewhere / "metrics.csv").read_text() == "mine"


def test_csv_goes_on_after_a_long_sample_and_after_half_a_character(run: Path) -> None:
    event = started(run)
    observer = CsvObserver()
    observer.charkit_event(event)
    observer.charkit_event(SAMPLED)
    with (run / "tracking" / "samples.csv").open("ab") as file:
        file.write("6,The,1.0,1,é".encode()[:-1])
    CsvObserver().charkit_event(event)
    rows = (run / "tracking" / "samples.csv").read_text("utf-8").splitlines()
    assert rows[-1] == f"5,The,1.0,1,{SAMPLED.text}"


@pytest.mark.parametrize(
    ("noted", "followed"),
    [("file:///somewhere/mlruns", True), ("https://elsewhere.example", False), ("databricks", False)],
)
def test_mlflow_records_on_no_server_that_a_run_names(
    run: Path, monkeypatch: pytest.MonkeyPatch, noted: str, followed: bool
) -> None:
    chosen: list[str] = []

    class Reached(Exception):  # noqa: N818 - it ends the test, and is no error
        """The store was asked for something."""

    def client() -> None:
        raise Reached

    names = {
        "mlflow": {"set_tracking_uri": chosen.append},
        "mlflow.entities": {"Metric": object, "Param": object},
        "mlflow.exceptions": {"MlflowException": Reached},
        "mlflow.tracking": {"MlflowClient": client},
    }
    for name, content in names.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "charkit_trackers.mlflow", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    note = {"run_id": "7", "tracking_uri": noted}
    (run / "tracking" / "mlflow.json").write_text(json.dumps(note))
    tracker = import_module("charkit_trackers.mlflow")
    try:
        with pytest.raises(Reached):
            tracker.MlflowObserver().charkit_event(started(run))
    finally:
        sys.modules.pop("charkit_trackers.mlflow", None)
    assert chosen == ([noted] if followed else [])
