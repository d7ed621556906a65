"""The best checkpoint where saves fail and training goes on: it is one that is there, and the best of those.

The validation losses are made up, one for each validation.
"""

from __future__ import annotations

import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import charkit
from charkit import events
from charkit.distributed.pool import StepAbandonedError
from charkit.errors import StorageError
from charkit.runs.checkpoint_content import TrainingProgress
from charkit.runs.pointers import pointed_at
from charkit.runs.run import Run
from charkit.training import saving, trainer
from charkit.training.result import TrainResult
from charkit.training.saving import Saving
from support import SMALL, SMALL_TEXT
from training_support import bits_of, wait_for_save

RUN = Path("r")
EVERY = 5
Patch = pytest.MonkeyPatch


class Disk:
    """A disk that is full while these steps are saved, and validations with these losses at every fifth step."""

    def __init__(self, patch: Patch, losses: Collection[float], full_at: Collection[int]) -> None:
        self.full_at = set(full_at)
        self.losses = dict(zip(range(EVERY, EVERY * len(losses) + 1, EVERY), losses, strict=True))
        write = saving.save_checkpoint

        def save(run: Path, checkpoint: Any, check: Any) -> Path:
            if checkpoint.progress.step in self.full_at:
                raise StorageError("the disk is full")
            return write(run, checkpoint, check)

        def evaluate(model: Any, *_text: Any, **options: Any) -> Any:
            options["progress"](1.0)
            return SimpleNamespace(loss=self.losses[model.step])

        patch.setattr(saving, "save_checkpoint", save)
        patch.setattr(trainer, "evaluate", evaluate)

    def train(self, **options: Any) -> TrainResult:
        made = {"run": RUN, "string": SMALL_TEXT, "eval_every": EVERY, "max_steps": EVERY * len(self.losses)}
        given = {} if "resume" in options else {**SMALL, **made, "on_save_error": "continue"}
        return charkit.train(threads=1, **{**given, **options})


def latest(run: Path = RUN) -> TrainingProgress:
    return Run.open(run).checkpoint("latest")[0].progress


def assert_best(step: int, loss: float, run: Path = RUN) -> None:
    """The best checkpoint is that of the step, by all that says so."""
    best, folder, notices = Run.open(run).checkpoint("best")
    assert (best.progress.step, best.progress.validation_loss, notices) == (step, loss, ())
    assert pointed_at(run, "best") == folder.name
    progress = latest(run)
    assert (progress.best_step, progress.best_validation_loss) == (step, loss)
    assert f"{loss:.4f} nats per symbol, at step {step} |" in (run / "README.md").read_text("utf-8")


@pytest.mark.parametrize("notices_late", [False, True])
def test_a_later_checkpoint_may_be_the_best_of_those_that_are_there(
    monkeypatch: Patch, notices_late: bool
) -> None:
    """Whether the save has failed before the split is scored again, or is still in flight then."""
    if notices_late:
        monkeypatch.setattr(Saving, "report_ended", lambda _self: None)
    seen: list[events.Event] = []
    result = Disk(monkeypatch, [2.9, 2.5, 2.7, 2.6], full_at=[10]).train(on_event=seen.append)
    assert_best(20, 2.6)
    assert result.best_validation_loss == 2.6
    saved = [(event.step, event.best) for event in seen if isinstance(event, events.Saved)]
    assert saved == [(5, True), (15, True), (20, True)]


def test_without_a_better_one_it_stays_the_one_before(monkeypatch: Patch) -> None:
    result = Disk(monkeypatch, [2.9, 2.5, 2.95, 3.0], full_at=[10]).train()
    assert result.best_validation_loss == 2.9
    assert_best(5, 2.9)


def test_the_first_one_may_be_missing_too(monkeypatch: Patch) -> None:
    Disk(monkeypatch, [2.5, 2.9, 2.7], full_at=[5]).train()
    assert_best(15, 2.7)


def test_patience_counts_from_the_lowest_loss_even_if_it_was_not_saved_and_the_run_resumed(
    monkeypatch: Patch,
) -> None:
    def interrupt(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 12:
            signal.raise_signal(signal.SIGINT)

    disk = Disk(monkeypatch, [2.9, 2.5, 2.7, 2.6, 2.4], full_at=[10])
    whole = disk.train(patience=2, run="whole")
    assert (whole.step, whole.stopped_because) == (20, "patience")
    first = disk.train(patience=2, on_event=interrupt)
    assert (first.step, first.best_validation_loss) == (12, 2.9)
    assert_best(5, 2.9)
    second = disk.train(resume=RUN)
    assert (second.step, second.stopped_because) == (20, "patience")
    assert bits_of(second) == bits_of(whole)
    for run in (Path("whole"), RUN):
        assert_best(20, 2.6, run)
        assert latest(run).validations_without_gain == 2


def test_a_validation_at_the_end_of_a_session_does_not_count_for_patience(monkeypatch: Patch) -> None:
    """It comes where the session happened to stop, so it must not change where the run ends."""
    disk = Disk(monkeypatch, [2.9, 2.5, 2.7, 2.6, 2.4], full_at=[])
    disk.losses |= {7: 2.8, 12: 2.3}
    whole = disk.train(patience=2, run="whole")
    assert (whole.step, whole.stopped_because) == (20, "patience")
    disk.train(patience=2, stop_at=7)
    assert latest().validations_without_gain == 0
    disk.train(resume=RUN, stop_at=12)  # the lowest loss of all
    assert (latest().best_step, latest().lowest_validation_loss) == (12, 2.5)
    resumed = disk.train(resume=RUN)
    assert (resumed.step, resumed.stopped_because) == (20, "patience")
    assert bits_of(resumed) == bits_of(whole)


def test_a_best_checkpoint_that_is_lost_is_replaced_by_the_best_of_the_later_ones(monkeypatch: Patch) -> None:
    disk = Disk(monkeypatch, [2.1, 2.5, 2.3, 2.4], full_at=[])
    disk.losses[8] = 2.6
    disk.train(max_steps=5)
    disk.train(resume=RUN, max_steps=8)
    (RUN / "checkpoints" / "00000005" / "model.safetensors").write_bytes(b"")
    seen: list[events.Event] = []
    resumed = disk.train(resume=RUN, max_steps=20, on_event=seen.append)
    assert resumed.best_validation_loss == 2.3
    assert_best(15, 2.3)
    (started,) = (event for event in seen if isinstance(event, events.Started))
    assert (
        "the best checkpoint, 00000005, is damaged; the best of the checkpoints saved from now on will replace it"
        in started.notices
    )


@pytest.mark.parametrize("failing", ["latest", "best", "card"])
def test_one_that_is_whole_is_the_best_whatever_else_of_its_save_failed(
    monkeypatch: Patch, failing: str
) -> None:
    point, write_card = saving.point, Run.write_card

    def fail(what: str, step: int) -> None:
        if (what, step) == (failing, 10):
            monkeypatch.setattr(saving, "point", point)
            monkeypatch.setattr(Run, "write_card", write_card)
            raise StorageError("the disk is full")

    def pointed(run: Path, which: Any, step: int) -> None:
        fail(which, step)
        point(run, which, step)

    def written(run: Run, text: str) -> None:
        fail("card", 10 if "| steps | 10 |" in text else 0)
        write_card(run, text)

    monkeypatch.setattr(saving, "point", pointed)
    monkeypatch.setattr(Run, "write_card", written)
    seen: list[events.Event] = []
    Disk(monkeypatch, [2.9, 2.5, 2.7, 2.6], full_at=[]).train(on_event=seen.append)
    assert [event.step for event in seen if isinstance(event, events.SaveFailed)] == [10]
    assert_best(10, 2.5)


def test_one_whose_save_failed_is_saved_as_the_best_by_a_session_that_ends_with_its_step(
    monkeypatch: Patch,
) -> None:
    """As when it is interrupted in a step of workers that would not end soon."""
    disk = Disk(monkeypatch, [2.9, 2.5, 2.7], full_at=[10])
    steps = trainer.training_steps

    def abandoned(*given: Any) -> Iterator[Any]:
        for result in steps(*given):
            yield result
            if result.step == 10:
                wait_for_save()
                disk.full_at.clear()
                signal.raise_signal(signal.SIGINT)
                raise StepAbandonedError

    monkeypatch.setattr(trainer, "training_steps", abandoned)
    assert disk.train().step == 10
    assert_best(10, 2.5)
