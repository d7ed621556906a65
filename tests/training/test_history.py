"""A run's history: its records and columns, what it shows in a notebook, and the history of a result."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

import charkit
from charkit.errors import ConfigurationError
from charkit.events import StepMetrics
from charkit.training.history import COLUMNS, History
from charkit.training.result import TrainResult
from support import SMALL


def record(step: int, loss: float, validation: float | None = None, rate: float = 0.01) -> StepMetrics:
    return StepMetrics(
        step=step,
        epoch=1 + step // 20,
        loss=loss,
        validation_loss=validation,
        learning_rate=rate,
        gradient_norm=0.5,
        characters_per_second=12345.6,
        elapsed_seconds=step / 10,
    )


@pytest.fixture
def history() -> History:
    return History([record(10, 3.0), record(20, 2.5, 2.75), record(30, 2.25)])


@pytest.fixture
def trained(text_file: Path) -> TrainResult:
    return charkit.train(text_file, max_steps=12, eval_every=4, threads=1, **SMALL)


def test_a_history_is_a_sequence_of_records(history: History) -> None:
    assert len(history) == 3
    assert [one.step for one in history] == [10, 20, 30]
    assert history[-1].loss == 2.25
    assert history[1:] == History([record(20, 2.5, 2.75), record(30, 2.25)])
    assert isinstance(history[::2], History)
    assert record(30, 2.25) in history
    assert not History()
    assert repr(history) == "<History: 3 reports, steps 10 to 30>"
    assert repr(history[:1]) == "<History: 1 report, steps 10 to 10>"
    assert repr(History()) == "<History: 0 reports>"
    with pytest.raises(IndexError):
        history[3]


def test_a_column_is_an_array(history: History) -> None:
    assert history["loss"].tolist() == [3.0, 2.5, 2.25]
    np.testing.assert_array_equal(history["validation_loss"], [np.nan, 2.75, np.nan])
    assert {name: history[name].dtype.kind for name in COLUMNS} == {
        name: "i" if name in ("step", "epoch") else "f" for name in COLUMNS
    }
    assert History()["loss"].shape == (0,)
    with pytest.raises(
        ConfigurationError, match=r"no column 'val_loss' \(did you mean 'validation_loss'\?\)"
    ):
        history["val_loss"]


def test_a_history_never_changes(history: History) -> None:
    column = history["loss"]
    column[:] = 0
    assert history["loss"].tolist() == [3.0, 2.5, 2.25]
    assert hash(history) == hash(history[:])
    assert pickle.loads(pickle.dumps(history)) == history  # noqa: S301 - what it has just written
    assert history != [*history]


def test_lines_that_are_no_whole_report_are_left_out(history: History) -> None:
    lines = [asdict(one) for one in history]
    broken = {"step": 25, "loss": 1.0}
    assert History.from_dicts([lines[0], broken, {**lines[1], "of_later": 1}, lines[2]]) == history


def test_without_pandas(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        ConfigurationError, match="needs pandas, which is not installed; run: pip install pandas"
    ):
        history.to_pandas()


def test_a_plot_shows_both_losses(history: History) -> None:
    (axes,) = history.plot().axes
    training, validation = axes.lines
    assert (training.get_label(), validation.get_label()) == ("training", "validation")
    assert training.get_xydata().tolist() == [[10, 3.0], [20, 2.5], [30, 2.25]]
    assert validation.get_xydata().tolist() == [[20, 2.75]]
    assert axes.get_xlabel() == "step"


def test_a_plot_shows_the_learning_rate_if_it_changes() -> None:
    losses, rates = History([record(10, 3.0), record(20, 2.5, rate=0.005)]).plot().axes
    assert [line.get_label() for line in losses.lines] == ["training"]
    assert rates.lines[0].get_ydata().tolist() == [0.01, 0.005]


def test_a_plot_goes_on_axes_of_the_caller(history: History, trained: TrainResult) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert history.plot(ax=left) is figure
    assert [line.get_label() for line in left.lines] == ["training", "validation"]
    assert (left.get_xlabel(), left.get_ylabel()) == ("step", "loss (nats per symbol)")
    assert trained.plot(right) is figure
    assert right.lines


def test_there_is_nothing_to_plot_without_reports() -> None:
    with pytest.raises(ConfigurationError, match="no reports yet"):
        History().plot()


def test_a_notebook_shows_the_plot_without_pyplot() -> None:
    program = """
import sys
from charkit.events import StepMetrics
from charkit.training.history import History
history = History([StepMetrics(1, 1, 3.0, None, 0.01, 0.5, 100.0, 1.0)])
assert not {"matplotlib", "pandas"} & set(sys.modules)
figure = history.plot()
png, size = figure._repr_png_()
assert "matplotlib.pyplot" not in sys.modules
print(png[1:4].decode(), size["width"], size["height"])
"""
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert child.stdout.split() == ["PNG", "576", "259"], child.stderr


def test_a_notebook_shows_the_last_records(history: History) -> None:
    shown = history._repr_html_()
    assert shown.count("<tr>") == 1 + 3
    assert "<th" in shown
    assert "validation loss" in shown
    assert ">2.7500</td>" in shown
    assert "nan" not in shown.lower()
    many = History(record(step, 1.0) for step in range(1, 1001))
    assert "1,000 reports, the last 10 shown" in many._repr_html_()
    assert many._repr_html_().count("<tr>") == 1 + 10


def test_a_result_has_the_history_of_its_run(trained: TrainResult) -> None:
    lines = (trained.run / "metrics.jsonl").read_text("utf-8").splitlines()
    assert [asdict(one) for one in trained.history] == [json.loads(line) for line in lines]
    assert trained.history["step"].tolist() == [4, 5, 8, 10, 12]
    assert trained.history[-1].loss == trained.loss
    assert np.nanmin(trained.history["validation_loss"]) == trained.best_validation_loss
    assert "history" not in repr(trained)
    assert trained.plot().axes[0].lines[0].get_xdata().tolist() == [4, 5, 8, 10, 12]


def test_a_resumed_run_has_the_history_of_all_its_sessions(trained: TrainResult) -> None:
    resumed = charkit.train(resume=trained.run, max_steps=16)
    assert resumed.history["step"].tolist() == [4, 5, 8, 10, 12, 15, 16]
    assert resumed.history[:5] == trained.history


def test_a_result_loads_its_run(trained: TrainResult) -> None:
    run = trained.load(checkpoint="latest", threads=1)
    assert run.path == trained.run
    assert run.evaluate().loss == trained.validation_loss
    assert trained.load().evaluate().loss == trained.best_validation_loss
    assert trained.load(precision="float64").model.backend.precision == "float64"
    assert run.history == trained.history


def test_a_notebook_shows_a_result_as_a_table(trained: TrainResult) -> None:
    shown = trained._repr_html_()
    assert f">{trained.run}</td>" in shown
    assert f">{trained.best_validation_loss:.4f}</td>" in shown
    assert ">max steps</td>" in shown
