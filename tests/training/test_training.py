"""The training loop: exact resume, validation, limits, saving, events."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import events
from charkit.charrnn import CharRNN
from charkit.errors import (
    ConfigurationError,
    NotFiniteError,
    TerminatedError,
)
from charkit.runs.records import METRICS, SAMPLES, SESSIONS
from charkit.runs.run import Run
from charkit.training.interrupts import StopRequest, catching_signals
from charkit.training.result import TrainResult
from charkit.training.trainer import Trainer
from support import SMALL, SMALL_TEXT
from training_support import losses_of, train, weights_of


def test_an_interruption_anywhere_changes_neither_weights_nor_reports(text_file: Path) -> None:
    unbroken = train(text_file, max_steps=30, dropout=0.2)

    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 13:
            signal.raise_signal(signal.SIGINT)

    first = train(text_file, max_steps=30, dropout=0.2, on_event=interrupt)
    assert (first.stopped_because, first.step) == ("interrupted", 13)
    second = train(resume=first.run)
    assert losses_of(second) == losses_of(unbroken)
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name


def test_a_termination_signal_saves_first(text_file: Path) -> None:
    def terminate(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 4:
            signal.raise_signal(signal.SIGTERM)

    result = train(text_file, max_steps=30, on_event=terminate)
    assert (result.stopped_because, result.step) == ("terminated", 4)
    assert Run.open(result.run).checkpoint("latest")[0].progress.step == 4
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_crash_loses_only_the_steps_since_the_last_save(text_file: Path) -> None:
    unbroken = train(text_file, max_steps=30)

    class CrashError(Exception):
        pass

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 19:
            raise CrashError

    with pytest.raises(CrashError):
        train(text_file, run="crashed", max_steps=30, save_every="8", on_event=crash)
    assert Run.open(Path("crashed")).checkpoint("latest")[0].progress.step == 16
    second = train(resume="crashed")
    assert losses_of(second) == losses_of(unbroken)
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name


@pytest.mark.parametrize(
    "kind",
    [
        events.Reading,
        events.Started,
        events.StepMetrics,
        events.Advanced,
        events.Validating,
        events.Sampled,
        events.Saved,
    ],
)
@pytest.mark.parametrize("error", [OSError("closed"), KeyError("loss"), KeyboardInterrupt()], ids=repr)
def test_an_error_of_an_event_handler_comes_out_as_it_is(
    text_file: Path, kind: type, error: BaseException
) -> None:
    def fail(event: events.Event) -> None:
        if isinstance(event, kind):
            raise error

    with pytest.raises(type(error)) as caught:
        train(text_file, run="r", max_steps=30, eval_every=10, on_event=fail)
    assert caught.value is error
    if kind is events.Reading:
        assert not Path("r").exists()
    else:
        saved = 10 if kind is events.Saved else 0
        assert Run.open(Path("r")).checkpoint("latest")[0].progress.step == saved
        assert train(resume="r").step == 30


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, TerminatedError)]
)
def test_a_signal_while_the_text_is_read_ends_the_call(
    text_file: Path, number: signal.Signals, error: type[BaseException]
) -> None:
    def send(event: events.Event) -> None:
        assert isinstance(event, events.Reading)
        signal.raise_signal(number)

    with pytest.raises(error):
        train(text_file, run="r", max_steps=3, on_event=send)
    assert not Path("r").exists()


def test_training_on_another_thread_works(text_file: Path) -> None:
    results: list[TrainResult] = []
    worker = threading.Thread(target=lambda: results.append(train(text_file, max_steps=3)))
    worker.start()
    worker.join()
    assert results[0].step == 3


def test_the_carried_state_is_zero_at_the_start_of_an_epoch(text_file: Path) -> None:
    """One batch per epoch, with no learning to speak of: each epoch's loss is that of a zero state."""
    size = len(SMALL_TEXT)
    steps = (size - 1) // 4
    options = {**SMALL, "num_steps": steps, "validation_share": 0.0, "test_share": 0.0, "log_every": 1}
    result = charkit.train(text_file, threads=1, epochs=3, learning_rate=1e-12, **options)
    losses = [loss for _, loss in losses_of(result)]
    assert losses == pytest.approx([losses[0]] * 3, abs=1e-7)
    short = charkit.train(
        text_file, threads=1, epochs=1, learning_rate=1e-12, **{**options, "num_steps": steps // 3}
    )
    carried = [loss for _, loss in losses_of(short)]
    assert np.mean(carried) == pytest.approx(losses[0], abs=0.02)


def test_validation_never_disturbs_training(text_file: Path) -> None:
    often, never = train(text_file, max_steps=20, eval_every=1), train(text_file, max_steps=20, eval_every=19)
    for name, array in weights_of(often).items():
        assert np.array_equal(array, weights_of(never)[name]), name


def test_events_and_records_tell_the_same(text_file: Path) -> None:
    seen: list[events.Event] = []
    result = train(text_file, max_steps=12, eval_every=6, on_event=seen.append)
    run = Run.open(result.run)
    reports = [event for event in seen if isinstance(event, events.StepMetrics)]
    assert [report.step for report in reports] == [5, 6, 10, 12]
    assert [record["loss"] for record in run.records(METRICS)] == [report.loss for report in reports]
    assert [record["validation_loss"] is not None for record in run.records(METRICS)] == [
        False,
        True,
        False,
        True,
    ]
    samples = [event for event in seen if isinstance(event, events.Sampled)]
    assert [record["sample"] for record in run.records(SAMPLES)] == [sample.text for sample in samples]
    for record, sample in zip(run.records(SAMPLES), samples, strict=True):
        assert (record["prime"], record["seed"]) == (sample.prime, sample.seed)
        assert sample.text.startswith(sample.prime)
        assert len(sample.text) == len(sample.prime) + SMALL["sample_length"]
    assert [event.step for event in seen if isinstance(event, events.Saved)] == [6, 12]
    assert [event.step for event in seen if isinstance(event, events.Advanced)] == list(range(1, 13))
    started = next(event for event in seen if isinstance(event, events.Started))
    assert (started.backend, started.threads, started.total_steps) == ("numpy", 1, 12)
    session = run.records(SESSIONS)[0]
    assert session["text_sha256"] == run.text_sha256
    assert {"numpy", "python", "charkit", "blas"} <= session["versions"].keys()


def test_patience_stops_when_validation_stops_gaining(text_file: Path) -> None:
    result = train(text_file, eval_every=2, patience=2, learning_rate=1e-12, max_steps=100)
    assert result.stopped_because == "patience"
    # In float32 the loss of the unchanged weights gains nothing after the first validation.
    assert result.step == 6


@pytest.mark.parametrize(
    "options", [{"validation_share": 0.0}, {"text": "abc" * 20, "validation_share": 0.001}]
)
def test_patience_without_a_validation_split_is_refused(options: dict[str, Any]) -> None:
    settings = {**SMALL, "string": SMALL_TEXT, "num_steps": 4, "test_share": 0.0, "threads": 1, **options}
    settings["string"] = settings.pop("text", settings["string"])
    message = "^`patience=2` counts validations, but the validation split is empty; leave `patience` out"
    for run in (None, "new/r"):
        with pytest.raises(
            ConfigurationError, match=f"{message}, choose a larger `validation_share`, or give a longer text$"
        ):
            charkit.train(run=run, patience=2, max_steps=4, **settings)
    assert list(Path().iterdir()) == []
    first = charkit.train(run="r", max_steps=2, **settings)
    with pytest.raises(ConfigurationError, match=f"{message}$"):
        train(resume=first.run, patience=2, max_steps=4)
    assert train(resume=first.run, max_steps=4).step == 4
    Path("patient.toml").write_text('name = "p"\npurpose = "to wait"\n[training]\npatience = 2\n', "utf-8")
    settings["recipe"] = "patient.toml"
    assert charkit.train(run="p", max_steps=2, **settings).step == 2


def test_limits(text_file: Path) -> None:
    assert train(text_file, max_steps=3).stopped_because == "max_steps"
    epochs = train(text_file, epochs=1)
    assert epochs.stopped_because == "epochs"
    assert epochs.epoch == 1
    limited = train(text_file, epochs=1000, time_limit="0.05s")
    assert limited.stopped_because == "time_limit"
    assert Run.open(limited.run).checkpoint("latest")[0].progress.step == limited.step


def test_saving_by_time(text_file: Path) -> None:
    seen: list[events.Event] = []
    train(text_file, max_steps=3, eval_every=100, save_every="0.000001s", on_event=seen.append)
    assert [event.step for event in seen if isinstance(event, events.Saved)] == [1, 2, 3]


@pytest.mark.parametrize("log_every", [1, 20])
def test_a_loss_that_is_not_finite_stops_with_its_step_and_the_last_good_checkpoint(
    text_file: Path, monkeypatch: pytest.MonkeyPatch, log_every: int
) -> None:
    sound = CharRNN.train_step

    def poisoned(model: CharRNN, *batch: Any, **options: Any) -> Any:
        if model.step == 7:
            model._weights["output.bias"][:] = np.nan
        return sound(model, *batch, **options)

    options = {**SMALL, "save_every": "5", "log_every": log_every, "max_steps": 50}
    message = r"loss is not finite at step 8; .* of 'wild' is at step 5.*`learning_rate`"
    with monkeypatch.context() as planted:
        planted.setattr(CharRNN, "train_step", poisoned)
        with pytest.raises(NotFiniteError, match=message):
            charkit.train(text_file, run="wild", threads=1, **options)
    assert Run.open(Path("wild")).checkpoint("latest")[0].progress.step == 5
    assert train(resume="wild").step == 50


def test_losses_are_looked_at_however_seldom_they_are_reported(
    text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("charkit.training.trainer.COLLECT_STEPS", 4)
    waiting: list[int] = []
    sound = Trainer._after_step

    def watched(trainer: Trainer, stop_request: Any) -> Any:
        reason = sound(trainer, stop_request)
        waiting.append(len(trainer._pending))
        return reason

    monkeypatch.setattr(Trainer, "_after_step", watched)
    charkit.train(text_file, max_steps=30, threads=1, **{**SMALL, "log_every": 10**6})
    assert max(waiting) == 3


def test_a_handler_that_is_not_of_python_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in which Python is embedded may have one, which ``signal.signal`` can't put back."""
    handlers: list[int] = []
    monkeypatch.setattr(
        signal, "getsignal", lambda number: None if number == signal.SIGINT else signal.SIG_DFL
    )
    monkeypatch.setattr(signal, "signal", lambda number, _handler: handlers.append(number))
    with catching_signals(StopRequest()):
        pass
    assert set(handlers) == {signal.SIGTERM, signal.SIGHUP}


def test_no_thread_is_left_after_an_error(text_file: Path) -> None:
    """Even while the error is kept, and with it every frame of the call."""

    def fail(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 3:
            raise ArithmeticError("a callback that fails")

    before = set(threading.enumerate())  # a backend of an earlier test may still have one of its own
    with pytest.raises(ArithmeticError) as kept:
        train(text_file, max_steps=9, on_event=fail)
    assert kept.traceback
    names = [thread.name for thread in threading.enumerate() if thread not in before]
    assert [name for name in names if not name.startswith("charkit-numpy")] == []
