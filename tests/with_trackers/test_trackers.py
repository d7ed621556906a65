"""What the trackers recorded, read back by their own readers."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from charkit.runs.records import METRICS, SAMPLES
from charkit.runs.run import Run
from with_trackers.conftest import SECRET, TRACKERS, Tracked

pytestmark = pytest.mark.trackers


def reports(tracked: Tracked, name: str) -> list[tuple[int, float]]:
    """A metric as the run itself keeps it."""
    records = Run.open(tracked.run).records(METRICS)
    return [(record["step"], record[name]) for record in records if record[name] is not None]


def samples(tracked: Tracked) -> dict[int, str]:
    return {record["step"]: record["sample"] for record in Run.open(tracked.run).records(SAMPLES)}


def test_no_tracker_was_dropped(tracked: Tracked) -> None:
    for printed in tracked.printed:
        assert "dropped" not in printed
        assert [name for name in TRACKERS if f"note: {name}: " in printed] == list(TRACKERS)


def test_tensorboard_shows_both_sessions_as_one_run(tracked: Tracked) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(tracked.run / "tracking" / "tensorboard"))
    found.Reload()
    tags = {
        "loss": "loss/train",
        "validation_loss": "loss/validation",
        "learning_rate": "training/learning_rate",
    }
    for name, tag in tags.items():
        events = [(event.step, event.value) for event in found.Scalars(tag)]
        expected = reports(tracked, name)
        assert [step for step, _ in events] == [step for step, _ in expected]
        for (_, got), (_, value) in zip(events, expected, strict=True):
            assert math.isclose(got, value, rel_tol=1e-6)  # TensorBoard has float32
    texts = found.Tensors("sample/text_summary")
    shown = {event.step: event.tensor_proto.string_val[0].decode() for event in texts}
    assert {step: text.replace("\n    ", "\n")[4:] for step, text in shown.items()} == samples(tracked)
    settings = found.Tensors("settings/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| model.lstm_size | 8 |" in settings
    assert '| data.text | ["small.txt"] |' in settings


def test_mlflow_shows_both_sessions_as_one_run(tracked: Tracked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracked.store.as_uri())
    experiment = client.get_experiment_by_name("charkit")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("small-1", "FINISHED")
    for name in ("loss", "validation_loss", "gradient_norm", "elapsed_seconds"):
        history = [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, name)]
        assert history == reports(tracked, name)
    assert run.data.params["model.lstm_size"] == "8"
    assert run.data.params["training.max_steps"] == "20"
    assert run.data.tags["session-2.training.max_steps"] == "40"
    for step, text in samples(tracked).items():
        file = tracked.store / experiment.experiment_id / run.info.run_id / "artifacts"
        assert (file / "samples" / f"step-{step:08d}.txt").read_text("utf-8") == text


def test_wandb_has_both_sessions_under_one_id(tracked: Tracked) -> None:
    files = sorted((tracked.run / "tracking" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({file.name for file in files}) == 1
    logged: dict[str, list[tuple[int, float]]] = {}
    for file in files:
        records = list(wandb_records(file))
        (run,) = [record.run for record in records if record.HasField("run")][:1]
        assert (run.project, run.display_name, run.host) == ("charkit", "small-1", "")
        for record in records:
            row = {".".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
            for name in ("loss", "validation_loss"):
                if name in row:
                    logged.setdefault(name, []).append((int(row["step"]), float(row[name])))
    for name, values in logged.items():
        assert values == reports(tracked, name)
    assert set(logged) == {"loss", "validation_loss"}
    (page, *_) = (tracked.run / "tracking" / "wandb").glob("offline-run-*/files/media/html/sample_*.html")
    assert "<pre>" in page.read_text("utf-8")


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: W&B's own messages, in the framing of LevelDB's log."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, block = file.read_bytes(), 1 << 15
    assert content[:4] == b":W&B"
    place, parts = 7, b""
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        parts += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(parts)
            yield record
            parts = b""


def test_nothing_secret_is_recorded(tracked: Tracked) -> None:
    looked_at = 0
    for folder in (tracked.run / "tracking", tracked.store):
        for file in folder.rglob("*"):
            if file.is_file():
                looked_at += 1
                assert SECRET.encode() not in file.read_bytes(), file
    assert looked_at > 10
    assert SECRET in (tracked.run / "config.json").read_text("utf-8")  # the run itself has to find its text


def test_a_library_that_is_missing_is_named(tracked: Tracked, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    (tmp_path / "tensorboardX.py").write_text("raise ModuleNotFoundError(name='tensorboardX')")
    done = subprocess.run(
        [sys.executable, "-m", "charkit_cli", "train", "--track", "tensorboard"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: observer 'tensorboard' needs tensorboardX, which is not installed; run: pip install tensorboardX\n"
    )
