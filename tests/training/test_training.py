"""The training loop: exact resume, validation, limits, saving, events."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit.charrnn import CharRNN
from charkit.errors import (
    ConfigurationError,
    NotFiniteError,
    RunError,
    TerminatedError,
    TextError,
    UnknownSymbolsError,
)
from charkit.runs.run import METRICS, SAMPLES, SESSIONS, Run
from charkit.training import events
from charkit.training.result import TrainResult
from charkit.training.trainer import Trainer
from support import SMALL, SMALL_TEXT


def train(text: Path | None = None, **options: Any) -> TrainResult:
    return charkit.train(text, threads=1, **({} if "resume" in options else SMALL), **options)


def weights_of(result: TrainResult) -> dict[str, Any]:
    return Run.open(result.run).checkpoint("latest")[0].snapshot.weights


def losses_of(result: TrainResult) -> list[tuple[int, float]]:
    return [(record["step"], record["loss"]) for record in Run.open(result.run).records(METRICS)]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("stop_at", [1, 17, 23])
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(
    text_file: Path, dropout: float, stop_at: int
) -> None:
    unbroken = train(text_file, dropout=dropout, max_steps=60, eval_every=20)
    first = train(text_file, dropout=dropout, max_steps=stop_at, eval_every=20)
    second = train(resume=first.run, max_steps=60)
    assert second.step == unbroken.step == 60
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name
    assert losses_of(second)[-1] == losses_of(unbroken)[-1]
    assert second.best_validation_loss == unbroken.best_validation_loss


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
    assert all(len(sample.text) == SMALL["sample_length"] for sample in samples)
    assert [event.step for event in seen if isinstance(event, events.Saved)] == [6, 12]
    assert [event.step for event in seen if isinstance(event, events.Advanced)] == list(range(1, 13))
    started = next(event for event in seen if isinstance(event, events.Started))
    assert (started.backend, started.threads, started.total_steps) == ("numpy", 1, 12)
    session = run.records(SESSIONS)[0]
    assert session["text_sha256"] == run.text_sha256
    assert {"numpy", "python", "charkit", "blas"} <= session["versions"].keys()


def test_a_resume_under_other_conditions_says_so(text_file: Path) -> None:
    first = train(text_file, max_steps=2)
    seen: list[events.Event] = []
    charkit.train(resume=first.run, max_steps=4, threads=2, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any("threads 2 (before: 1)" in notice for notice in started.notices)


def test_patience_stops_when_validation_stops_gaining(text_file: Path) -> None:
    result = train(text_file, eval_every=2, patience=2, learning_rate=1e-12, max_steps=100)
    assert result.stopped_because == "patience"
    # In float32 the loss of the unchanged weights gains nothing after the first validation.
    assert result.step == 6


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
    told = r"loss is not finite at step 8; .* step 5 of 'wild'.*`learning_rate`"
    with monkeypatch.context() as planted:
        planted.setattr(CharRNN, "train_step", poisoned)
        with pytest.raises(NotFiniteError, match=told):
            charkit.train(text_file, run="wild", threads=1, **options)
    assert Run.open(Path("wild")).checkpoint("latest")[0].progress.step == 5
    assert train(resume="wild").step == 50


def test_a_finished_run_asks_for_more(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    with pytest.raises(ConfigurationError, match=r"is at step 3, the end of its `max_steps=3`; give more"):
        train(resume=first.run)


def test_a_resume_takes_new_limits_and_keeps_what_the_run_is(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    assert charkit.train(resume=first.run, max_steps=5, learning_rate=0.5, lstm_size=8).step == 5
    progress = Run.open(first.run).checkpoint("latest")[0].progress
    assert (progress.optimizer.learning_rate, progress.training.max_steps) == (0.5, 5)
    for changes in (
        {"lstm_size": 9},
        {"batch_size": 5},
        {"seed": 1},
        {"dropout": 0.5},
        {"vocabulary": "byte"},
    ):
        with pytest.raises(RunError, match="`init_from='"):
            charkit.train(resume=first.run, max_steps=9, **changes)


def test_a_changed_text_is_refused(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    text_file.write_text(SMALL_TEXT.replace("cat", "tac"), "utf-8")
    with pytest.raises(RunError, match="SHA-256"):
        train(resume=first.run, max_steps=9)
    text_file.write_text(SMALL_TEXT + "Ω", "utf-8")
    with pytest.raises(RunError, match="other symbols"):
        train(resume=first.run, max_steps=9)


def test_a_text_that_has_moved_may_be_named(text_file: Path, tmp_path: Path) -> None:
    first = train(text_file, max_steps=3)
    moved = text_file.rename(tmp_path / "moved.txt")
    with pytest.raises(TextError):
        train(resume=first.run, max_steps=6)
    assert train(moved, resume=first.run, max_steps=6).step == 6


def test_init_from_starts_from_the_weights_with_the_vocabulary(text_file: Path, tmp_path: Path) -> None:
    base = train(text_file, max_steps=20)
    other = tmp_path / "other.txt"
    other.write_text(SMALL_TEXT[::-1], "utf-8")
    result = train(other, init_from=base.run, max_steps=1, learning_rate=1e-12)
    assert Run.open(result.run).vocabulary == Run.open(base.run).vocabulary
    best = Run.open(base.run).checkpoint("best")[0].snapshot.weights
    for name, array in weights_of(result).items():
        np.testing.assert_allclose(array, best[name], atol=1e-9)


def test_init_from_extends_the_vocabulary_and_says_with_what(text_file: Path, tmp_path: Path) -> None:
    base = train(text_file, max_steps=20)
    other = tmp_path / "other.txt"
    other.write_text(SMALL_TEXT + "Ωß" * 20, "utf-8")
    with pytest.raises(UnknownSymbolsError, match="`extend_vocabulary=True` adds them"):
        train(other, init_from=base.run, max_steps=1)
    seen: list[events.Event] = []
    result = train(
        other,
        init_from=base.run,
        extend_vocabulary=True,
        max_steps=1,
        learning_rate=1e-12,
        on_event=seen.append,
    )
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any("2 symbols, 'ß' 'Ω'" in notice for notice in started.notices)
    known = Run.open(base.run).vocabulary.size
    assert Run.open(result.run).vocabulary.symbols[known:] == ("ß", "Ω")
    best = Run.open(base.run).checkpoint("best")[0].snapshot.weights
    extended = weights_of(result)
    np.testing.assert_allclose(extended["output.weight"][:known], best["output.weight"], atol=1e-9)
    np.testing.assert_allclose(extended["lstm.0.weight_ih"][:, :known], best["lstm.0.weight_ih"], atol=1e-9)
    assert np.abs(extended["lstm.0.weight_ih"][:, known:]).min() > 0


def test_init_from_refuses_another_shape(text_file: Path) -> None:
    base = train(text_file, max_steps=2)
    with pytest.raises(RunError, match=r"model\.lstm_size 8, given 16"):
        charkit.train(text_file, init_from=base.run, **{**SMALL, "lstm_size": 16})


def test_bad_input_makes_no_run(text_file: Path) -> None:
    with pytest.raises(TextError, match="batch_size"):
        charkit.train(text_file, batch_size=10_000, num_steps=10_000)
    with pytest.raises(ConfigurationError, match="goes with none of"):
        charkit.train(text_file, resume="runs/x", run="runs/y")
    with pytest.raises(ConfigurationError, match="`init_from=RUN`"):
        charkit.train(text_file, extend_vocabulary=True)
    with pytest.raises(TypeError, match="lstm_sise"):
        charkit.train(text_file, lstm_sise=3)  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="did you mean 'lstm_size'"):
        charkit.train(text_file, settings={"model": {"lstm_sise": 3}})
    assert not Path("runs").exists()


def test_a_request_to_stop_ends_validation_and_the_next_session_begins_with_it(text_file: Path) -> None:
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Validating) and event.fraction < 1 and not stopped:
            stopped.append(event.fraction)
            signal.raise_signal(signal.SIGTERM)

    stopped: list[float] = []
    text = SMALL_TEXT * 3
    text_file.write_text(text, "utf-8")
    unbroken = train(text_file, max_steps=30, eval_every=10)
    first = train(text_file, max_steps=30, eval_every=10, on_event=interrupt)
    assert (first.stopped_because, first.step, first.validation_loss) == ("terminated", 10, None)
    assert Run.open(first.run).checkpoint("latest")[0].progress.validation_due
    second = train(resume=first.run)
    assert losses_of(second) == losses_of(unbroken)
    reports, expected = (Run.open(result.run).records(METRICS) for result in (second, unbroken))
    assert [(report["validation_loss"], report["gradient_norm"]) for report in reports] == [
        (report["validation_loss"], report["gradient_norm"]) for report in expected
    ]
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name


def test_a_crash_between_saving_and_pointing_is_mended(text_file: Path) -> None:
    first = train(text_file, max_steps=20, eval_every=10)
    progress = Run.open(first.run).checkpoint("latest")[0].progress
    assert progress.best_step == 20
    (first.run / "best").write_text('{"checkpoint": "00000010", "step": 10}')
    train(resume=first.run, max_steps=21, eval_every=100)
    best = Run.open(first.run).checkpoint("best")[0].progress
    assert best.best_validation_loss == best.validation_loss


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


def test_a_moved_end_of_the_cosine_is_told(text_file: Path) -> None:
    first = train(text_file, max_steps=5, schedule="cosine")
    seen: list[events.Event] = []
    charkit.train(resume=first.run, max_steps=9, threads=1, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any("ends at step 9 (before: 5)" in notice for notice in started.notices)
