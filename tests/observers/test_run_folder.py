"""What trackers read of a run: it may be a stranger's, so its notes and links lead nowhere else."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from charkit import events
from charkit.errors import RunError, StorageError
from charkit.runs import limits
from charkit_trackers.csv_files import CsvObserver
from charkit_trackers.run_folder import in_quotes, own_folder, read_identity, write_identity
from training_support import train

METRICS = events.StepMetrics(
    step=5, epoch=1, loss=3.0, validation_loss=None, learning_rate=0.1, gradient_norm=1.0,
    characters_per_second=1.0, elapsed_seconds=1.0,
)  # fmt: skip
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
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "one.json").write_bytes(note.encode("latin-1"))
    assert read_identity(tmp_path, "one", "id") == {}


def test_a_link_in_place_of_a_note_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text('{"id": "7"}')
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "one.json").symlink_to(tmp_path / "elsewhere.json")
    assert read_identity(tmp_path, "one", "id") == {}


def test_nothing_is_written_through_a_link(tmp_path: Path, run: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "metrics.csv").write_text("mine")
    event = started(run)
    (run / "tracking").rename(tmp_path / "before")
    (run / "tracking").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="is a symbolic link, but observers write only inside the run"):
        CsvObserver().charkit_event(event)
    assert (elsewhere / "metrics.csv").read_text() == "mine"


@pytest.mark.parametrize("place", ["", "older", "sessions/older", "sessions/events"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_library_gets_no_folder_with_a_link_that_leads_out(
    tmp_path: Path, place: str, exists: bool
) -> None:
    if exists:
        (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "run" / "tracking" / "tensorboard" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=f"^'{link}' is a symbolic link, but observers write only inside"):
        own_folder(tmp_path / "run", "tensorboard")


def test_a_library_gets_no_folder_with_a_pipe_or_a_hard_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("mine")
    for name in ("pipe", "hard"):
        folder = tmp_path / name / "tracking" / "wandb"
        folder.mkdir(parents=True)
        if name == "pipe":
            os.mkfifo(folder / "debug.log")
        else:
            os.link(tmp_path / "elsewhere", folder / "debug.log")
        with pytest.raises(RunError, match="may contain only regular files with a single hard link"):
            own_folder(tmp_path / name, "wandb")


def test_links_that_a_library_makes_are_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    logs = tmp_path / "tracking" / "wandb" / "offline-run-1" / "logs"
    logs.mkdir(parents=True)
    (logs.parents[1] / "latest-run").symlink_to("offline-run-1")
    (logs / "debug-core.log").symlink_to(tmp_path / "cache" / "core.log")
    with pytest.raises(StorageError, match=r"debug-core\.log"):
        own_folder(tmp_path, "wandb")
    assert own_folder(tmp_path, "wandb", outward_links=["debug-core.log"]) == logs.parents[1]


def test_tensorboard_writes_nothing_through_a_link(tmp_path: Path, run: Path) -> None:
    pytest.importorskip("tensorboardX")
    from charkit_trackers.tensorboard import TensorBoardObserver

    (elsewhere := tmp_path / "elsewhere").mkdir()
    (run / "tracking" / "tensorboard").symlink_to(elsewhere)
    with pytest.raises(StorageError, match="is a symbolic link, but observers write only inside the run"):
        TensorBoardObserver().charkit_event(started(run))
    assert not [*elsewhere.iterdir()]


@pytest.mark.parametrize("name", ["metrics.csv", "samples.csv"])
def test_csv_refuses_a_pipe_and_a_link(tmp_path: Path, run: Path, name: str) -> None:
    event = started(run)
    path = run / "tracking" / name
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(RunError, match=f"{name}' is a named pipe, but a run may contain only regular files"):
        CsvObserver().charkit_event(event)
    path.unlink()
    observer = CsvObserver()
    observer.charkit_event(event)
    (elsewhere := tmp_path / "elsewhere").write_text("mine")
    path.unlink()
    path.symlink_to(elsewhere)
    with pytest.raises(RunError, match="is a symbolic link"):
        observer.charkit_event(METRICS if name == "metrics.csv" else SAMPLED)
    assert elsewhere.read_text() == "mine"


def test_csv_reads_no_file_that_is_too_large(run: Path) -> None:
    event = started(run)
    os.truncate(run / "tracking" / "metrics.csv", limits.RECORDS + 1)
    with pytest.raises(RunError, match="it has 1,073,741,825 bytes, but at most 1,073,741,824 are allowed"):
        CsvObserver().charkit_event(event)


def test_csv_ends_at_a_field_that_it_did_not_write(run: Path) -> None:
    event = started(run)
    path = run / "tracking" / "metrics.csv"
    before = path.read_bytes()
    os.truncate(path, 20 << 20)
    CsvObserver().charkit_event(event)
    assert path.read_bytes() == before
    with path.open("a") as file:
        file.write(f"{'9' * 5000},1,3.1,,0.001,0.1,1.0,1.0\n")  # more digits than Python reads
    CsvObserver().charkit_event(event)
    assert path.read_bytes() == before


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


class Reached(Exception):  # noqa: N818 - it ends a test, and is no error
    """A store was asked for something."""


@contextmanager
def mlflow_tracker(
    monkeypatch: pytest.MonkeyPatch, client: Callable[[], Any], **functions: Callable[..., Any]
) -> Iterator[Any]:
    """The tracker with a package in place of MLflow that has these functions and this client."""
    names: dict[str, dict[str, Any]] = {
        "mlflow": functions,
        "mlflow.entities": {
            "Metric": object,
            "Param": lambda key, value: SimpleNamespace(key=key, value=value),
        },
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
    try:
        yield import_module("charkit_trackers.mlflow").MlflowObserver()
    finally:
        sys.modules.pop("charkit_trackers.mlflow", None)


@pytest.mark.parametrize(
    "noted",
    ["file:///somewhere/mlruns", "sqlite:////somewhere/mlflow.db", "https://elsewhere.example", "databricks"],
)
def test_mlflow_records_in_no_store_that_a_run_names(
    run: Path, monkeypatch: pytest.MonkeyPatch, noted: str
) -> None:
    chosen: list[str] = []

    def client() -> None:
        raise Reached

    note = {"run_id": "7", "tracking_uri": noted}
    (run / "tracking" / "mlflow.json").write_text(json.dumps(note))
    functions = {"set_tracking_uri": chosen.append, "get_tracking_uri": lambda: "sqlite:///mlflow.db"}
    with mlflow_tracker(monkeypatch, client, **functions) as tracker, pytest.raises(Reached):
        tracker.charkit_event(started(run))
    assert chosen == []


def test_mlflow_notes_its_default_store_for_any_folder(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Client:
        def get_experiment_by_name(self, _name: str) -> Any:
            return SimpleNamespace(experiment_id="1")

        def create_run(self, _experiment: str, run_name: str) -> Any:
            return SimpleNamespace(info=SimpleNamespace(run_id=f"id of {run_name}"))

        def get_run(self, _run_id: str) -> Any:
            raise Reached

    def default() -> str:
        return "sqlite:///mlflow.db"

    with (
        mlflow_tracker(monkeypatch, Client, get_tracking_uri=default) as tracker,
        pytest.raises(Reached),
    ):
        tracker.charkit_event(started(run))
    assert read_identity(run, "mlflow", "run_id") == {
        "run_id": f"id of {run.name}", "tracking_uri": f"sqlite:///{Path.cwd()}/mlflow.db",
    }  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="another shell")
@pytest.mark.parametrize(
    ("path", "expected"),
    [("runs", "runs"), ("a&b", "'a&b'"), ("it's", """'it'"'"'s'"""), ("my runs", "'my runs'")],
)
def test_a_path_in_a_command_is_quoted_for_the_shell(path: str, expected: str) -> None:
    assert in_quotes(Path(path)) == expected
