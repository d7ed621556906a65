"""Resuming a run, and starting one from another's weights."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

import charkit
from charkit import events
from charkit.errors import (
    ConfigurationError,
    RunError,
    TextError,
    UnknownSymbolsError,
)
from charkit.runs.pointers import point
from charkit.runs.records import METRICS, SAMPLES
from charkit.runs.run import Run
from charkit.training.resume import FinishedRunError
from support import SMALL, SMALL_TEXT
from training_support import losses_of, train, weights_of


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


def test_a_resume_with_random_resets_is_exact(text_file: Path) -> None:
    unbroken = train(text_file, max_steps=30, reset_probability=0.3)
    first = train(text_file, max_steps=13, reset_probability=0.3)
    second = train(resume=first.run, max_steps=30)
    without = train(text_file, max_steps=30)
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name
    assert losses_of(without)[-1] != losses_of(unbroken)[-1]


@pytest.mark.parametrize("stop_at", [40, 131])
def test_a_resume_in_the_middle_of_an_epoch_with_an_offset_is_exact(text_file: Path, stop_at: int) -> None:
    options = {"epoch_offset": "random", "eval_every": 500, "seed": 3}
    unbroken = train(text_file, max_steps=200, **options)
    assert unbroken.epoch == 3
    first = train(text_file, max_steps=stop_at, **options)
    second = train(resume=first.run, max_steps=200)
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name
    fixed = train(text_file, max_steps=200, **{**options, "epoch_offset": "fixed"})
    assert losses_of(fixed) != losses_of(unbroken)
    with pytest.raises(RunError, match=r"`data\.epoch_offset` random, but fixed was given"):
        train(resume=first.run, max_steps=300, epoch_offset="fixed")


def test_a_resume_under_other_conditions_says_so(text_file: Path) -> None:
    first = train(text_file, max_steps=2)
    seen: list[events.Event] = []
    charkit.train(resume=first.run, max_steps=4, threads=2, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any("threads 2 (previously 1)" in notice for notice in started.notices)


def test_a_finished_run_asks_for_more(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    with pytest.raises(
        ConfigurationError, match=r"is at step 3 and has reached its limit, `max_steps=3`; raise it"
    ):
        train(resume=first.run)


def test_a_resume_takes_new_limits_and_keeps_what_the_run_is(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    assert charkit.train(resume=first.run, max_steps=5, learning_rate=0.5, lstm_size=8).step == 5
    progress = Run.open(first.run).checkpoint("latest")[0].progress
    assert (progress.optimizer.learning_rate, progress.training.max_steps) == (0.5, 5)
    for changes, advice in (
        ({"lstm_size": 9}, "or start a new run$"),
        ({"vocabulary": "byte"}, "or start a new run$"),  # `init_from` can't change these either
        ({"batch_size": 5}, "from this run's weights: `init_from='"),
        ({"seed": 1}, "from this run's weights: `init_from='"),
        ({"initialization": "uniform"}, "from this run's weights: `init_from='"),
        ({"dropout": 0.5}, "from this run's weights: `init_from='"),
    ):
        with pytest.raises(RunError, match=f"`resume` can't change this setting; leave it out, .*{advice}"):
            charkit.train(resume=first.run, max_steps=9, **changes)


def test_a_changed_text_is_refused(text_file: Path) -> None:
    first = train(text_file, max_steps=3)
    text_file.write_text(SMALL_TEXT.replace("cat", "tac"), "utf-8")
    with pytest.raises(RunError, match="SHA-256"):
        train(resume=first.run, max_steps=9)
    text_file.write_text(SMALL_TEXT + "Ω", "utf-8")
    with pytest.raises(RunError, match="symbols that are not in the run's vocabulary"):
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


def test_init_from_says_why_it_does_not_start_from_the_best_checkpoint(text_file: Path) -> None:
    base = train(text_file, max_steps=3)
    point(base.run, "best", 2)
    seen: list[events.Event] = []
    train(text_file, init_from=base.run, max_steps=1, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    at = started.notices.index(f"weights from {base.run} at step 3")
    assert started.notices[at - 1].startswith("the best checkpoint, 00000002, is missing")


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
    with pytest.raises(RunError, match="has `lstm_size` 8; `init_from` can't change it to 16"):
        charkit.train(text_file, init_from=base.run, **{**SMALL, "lstm_size": 16})


def test_bad_input_makes_no_run(text_file: Path) -> None:
    with pytest.raises(TextError, match="batch_size"):
        charkit.train(text_file, batch_size=10_000, num_steps=10_000)
    with pytest.raises(ConfigurationError, match="can't be combined with"):
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
    with pytest.raises(FinishedRunError, match="is at step 10 and has reached its limit, `max_steps=5`"):
        train(resume=first.run, max_steps=5)  # although a validation is due
    second = train(resume=first.run)
    assert losses_of(second) == losses_of(unbroken)
    reports, expected = (Run.open(result.run).records(METRICS) for result in (second, unbroken))
    assert [(report["validation_loss"], report["gradient_norm"]) for report in reports] == [
        (report["validation_loss"], report["gradient_norm"]) for report in expected
    ]
    for name, array in weights_of(unbroken).items():
        assert np.array_equal(array, weights_of(second)[name]), name


def test_a_crash_after_a_due_validation_was_reported_doubles_no_line(text_file: Path) -> None:
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Validating) and event.fraction < 1 and not stopped:
            stopped.append(event.fraction)
            signal.raise_signal(signal.SIGTERM)

    def crash(event: events.Event) -> None:
        if isinstance(event, events.Sampled):
            raise RuntimeError("the session ends before the step is saved again")

    stopped: list[float] = []
    text_file.write_text(SMALL_TEXT * 3, "utf-8")
    first = train(text_file, max_steps=12, eval_every=10, on_event=interrupt)
    assert Run.open(first.run).checkpoint("latest")[0].progress.validation_due
    with pytest.raises(RuntimeError, match="before the step is saved"):
        train(resume=first.run, on_event=crash)
    assert [record["step"] for record in Run.open(first.run).records(SAMPLES)] == [10]
    train(resume=first.run)
    steps = [[record["step"] for record in Run.open(first.run).records(name)] for name in (METRICS, SAMPLES)]
    assert steps == [sorted(set(each)) for each in steps]


def test_a_crash_between_saving_and_pointing_is_mended(text_file: Path) -> None:
    first = train(text_file, max_steps=20, eval_every=10)
    progress = Run.open(first.run).checkpoint("latest")[0].progress
    assert progress.best_step == 20
    (first.run / "best").write_text('{"checkpoint": "00000010", "step": 10}')
    train(resume=first.run, max_steps=21, eval_every=100)
    best = Run.open(first.run).checkpoint("best")[0].progress
    assert best.best_validation_loss == best.validation_loss


def test_a_moved_end_of_the_cosine_is_told(text_file: Path) -> None:
    first = train(text_file, max_steps=5, schedule="cosine")
    seen: list[events.Event] = []
    charkit.train(resume=first.run, max_steps=9, threads=1, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any("ends at step 9 (previously 5)" in notice for notice in started.notices)


def test_another_learning_rate_is_confirmed(text_file: Path) -> None:
    first = train(text_file, max_steps=2, learning_rate=0.01, schedule="constant")
    notices: list[tuple[str, ...]] = []
    for step, changes in ((3, {}), (4, {"learning_rate": 0.5, "grad_clip": 1}), (5, {"learning_rate": 0.5})):
        seen: list[events.Event] = []
        charkit.train(resume=first.run, max_steps=step, threads=1, on_event=seen.append, **changes)
        started = next(event for event in seen if isinstance(event, events.Started))
        notices.append(tuple(notice for notice in started.notices if "as requested" in notice))
    changed = "as requested, learning_rate is now 0.5 (previously 0.01), grad_clip is now 1 (previously 5)"
    assert notices == [(), (changed,), ()]


def test_a_moved_beginning_of_the_cosine_is_told(text_file: Path) -> None:
    first = train(text_file, max_steps=5, schedule="cosine", eval_every=5)
    seen: list[events.Event] = []
    charkit.train(resume=first.run, max_steps=9, warmup_steps=7, threads=1, on_event=seen.append)
    started = next(event for event in seen if isinstance(event, events.Started))
    assert any(
        "schedule now begins after step 7 (previously 0) and ends at step 9 (previously 5), so" in notice
        for notice in started.notices
    )


def test_settings_of_an_unknown_section_are_refused(text_file: Path) -> None:
    first = train(text_file, max_steps=2)
    with pytest.raises(ConfigurationError, match=r"unknown section 'trainig' \(did you mean 'training'\?\)"):
        train(resume=first.run, max_steps=3, settings={"trainig": {"epochs": 30}})


def test_a_run_on_a_prepared_text_goes_on_with_the_files_it_was_made_of(tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.md").write_text(SMALL_TEXT, "utf-8")
    (folder / "b.txt").write_text("another text", "utf-8")
    prepared = charkit.prepare(folder, "prepared", glob="*.md").path
    first = train(prepared, max_steps=2)
    again = train(folder, resume=first.run, glob="*.md", max_steps=4)
    assert again.step == 4
    with pytest.raises(RunError, match=r"the given text is not the text of"):
        train(folder, resume=first.run, glob="*.txt", max_steps=6)
