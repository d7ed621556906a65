"""Saves on a thread: training goes on meanwhile, and what a save promises stays.

Each promise is a function that trains and asserts. Beside it is a fault that it finds.
"""

# Over 300 lines: each test is short, and all are about saves beside training and what may go wrong with them.

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import charkit
from charkit import events
from charkit.charrnn import CharRNN
from charkit.errors import NotFiniteError, StorageError
from charkit.runs.background_save import THREAD_NAME, BackgroundSave
from charkit.runs.checkpoint import damage
from charkit.runs.pointers import pointed_at
from charkit.runs.records import METRICS
from charkit.runs.run import Run
from charkit.training import saving
from charkit.training.clock import Clock
from charkit.training.saving import Saving
from charkit.training.trainer import Trainer
from charkit_numpy.backend import NumpyBackend
from support import SMALL, SMALL_TEXT
from training_support import bits_of, losses_of, wait_for_save

#: A blocked save continues after this many seconds, so that a fault fails its test instead of hanging it.
PATIENCE_SECONDS = 5.0
RUN = Path("r")
Patch = pytest.MonkeyPatch


class CrashError(Exception):
    """What an event handler raises."""


def train(**options: Any) -> charkit.TrainResult:
    options.setdefault("run", RUN)
    defaults = {**SMALL, "validation_share": 0.0, "log_every": 1, "save_every": "4", "max_steps": 12}
    return charkit.train(string=SMALL_TEXT, threads=1, **{**defaults, **options})


def latest() -> int:
    return Run.open(RUN).checkpoint("latest")[0].progress.step


class Gate:
    """Holds every save before it writes, until ``open`` is set."""

    last: Gate | None = None

    def __init__(self, patch: Patch) -> None:
        self.open = threading.Event()
        patch.setattr(Gate, "last", self)
        real = saving.save_checkpoint

        def gated(*given: Any) -> Path:
            self.open.wait(PATIENCE_SECONDS)
            return real(*given)

        patch.setattr(saving, "save_checkpoint", gated)


def saves_end_when_waited_for(patch: Patch) -> None:
    """Holds each save until the thread that trains waits for it."""
    gate = Gate(patch)
    start, result = Saving.start, BackgroundSave.result

    def started(self: Saving, *given: Any, **options: Any) -> None:
        gate.open.clear()
        start(self, *given, **options)

    def waited(self: BackgroundSave) -> Path:
        gate.open.set()
        return result(self)

    patch.setattr(Saving, "start", started)
    patch.setattr(BackgroundSave, "result", waited)


# ---- promises -----------------------------------------------------------------------------------------------


def training_goes_on(patch: Patch) -> None:
    """And the checkpoint has the bits of its step, not of those that were taken meanwhile."""
    gate, seen = Gate(patch), []

    def handle(event: events.Event) -> None:
        seen.append(event)
        if isinstance(event, events.Advanced) and event.step == 7:
            gate.open.set()

    result = train(max_steps=8, on_event=handle)
    order = [(type(event), event.step) for event in seen if isinstance(event, events.Advanced | events.Saved)]
    assert order.index((events.Advanced, 7)) < order.index((events.Saved, 4))
    assert [event.step for event in seen if isinstance(event, events.Saved)] == [4, 8]
    four = Run.open(RUN).path / "checkpoints" / "00000004" / "model.safetensors"
    short = train(run="short", max_steps=4)
    assert four.read_bytes() == (short.run / "checkpoints" / "00000004" / "model.safetensors").read_bytes()
    assert bits_of(result) == bits_of(train(run="seldom", max_steps=8, save_every="1h"))


def one_save_at_a_time(patch: Patch) -> None:
    """And one snapshot, however often saves are due; one that fails is let go as well."""
    snapshots: list[weakref.ref[Any]] = []
    writing, most = 0, 0
    take, write = Trainer._checkpoint, saving.save_checkpoint

    def checkpoint(self: Trainer) -> Any:
        assert [one for one in snapshots if one() is not None] == [], "a second snapshot in memory"
        taken = take(self)
        snapshots.append(weakref.ref(taken.snapshot))
        return taken

    def counted(*arguments: Any) -> Path:
        nonlocal writing, most
        writing += 1
        most = max(most, writing)
        try:
            threading.Event().wait(0.005)
            if arguments[1].progress.step % 2:
                raise StorageError("full")
            return write(*arguments)
        finally:
            writing -= 1

    patch.setattr(Trainer, "_checkpoint", checkpoint)
    patch.setattr(saving, "save_checkpoint", counted)
    gc.disable()
    try:
        train(save_every="1", on_save_error="continue")
    finally:
        gc.enable()
    assert most == 1
    assert len(snapshots) == 12


def saved_means_whole(patch: Patch) -> None:
    """``Saved`` comes on the thread that trains, when the checkpoint is whole, pointed at, and the last one."""
    gate = Gate(patch)
    wrong: list[Any] = []

    def handle(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step % 4 == 3:
            gate.open.set()
        if isinstance(event, events.Saved):
            whole = damage(event.path) if event.path.exists() else "missing"
            named = pointed_at(RUN, "latest")
            thread = threading.current_thread() is threading.main_thread()
            wrong.extend([] if (whole, named, thread) == (None, event.path.name, True) else [event])

    train(on_event=handle)
    assert wrong == []


def _raise(number: signal.Signals) -> Callable[[], None]:
    return lambda: signal.raise_signal(number)


def _crash() -> None:
    raise CrashError


EXITS: dict[str, Callable[[], None]] = {
    "end": lambda: None,
    "SIGINT": _raise(signal.SIGINT),
    "SIGTERM": _raise(signal.SIGTERM),
    "SIGHUP": _raise(signal.SIGHUP),
    "handler": _crash,
}


def a_session_waits_for_its_saves(patch: Patch) -> None:
    """However it ends, and says that they are there."""
    saves_end_when_waited_for(patch)
    for name, leave in EXITS.items():
        saved: list[int] = []

        def handle(event: events.Event, saved: list[int] = saved, leave: Callable[[], None] = leave) -> None:
            if isinstance(event, events.Saved):
                saved.append(event.step)
            if isinstance(event, events.Advanced) and event.step == 5:
                leave()

        with suppress(CrashError):
            train(overwrite=True, on_event=handle)
        assert [thread for thread in threading.enumerate() if thread.name == THREAD_NAME] == [], name
        assert saved == {"end": [4, 8, 12], "handler": [4]}.get(name, [4, 5]), name
        assert latest() == saved[-1], name


def divergence_names_the_save_in_flight(patch: Patch) -> None:
    saves_end_when_waited_for(patch)
    step = CharRNN.train_step

    def poisoned(model: CharRNN, *batch: Any, **options: Any) -> Any:
        if model.step == 5:
            model._weights["output.bias"][:] = np.nan
        return step(model, *batch, **options)

    patch.setattr(CharRNN, "train_step", poisoned)
    with pytest.raises(NotFiniteError, match=r"step 6; the last good checkpoint of .* is at step 4"):
        train()


def an_error_comes_at_the_next_step(patch: Patch) -> None:
    def full(*_arguments: Any) -> Path:
        raise StorageError("the disk is full")

    step = CharRNN.train_step

    def step_after_save(model: CharRNN, *batch: Any, **options: Any) -> Any:
        wait_for_save()
        return step(model, *batch, **options)

    seen: list[Any] = []
    patch.setattr(saving, "save_checkpoint", full)
    patch.setattr(CharRNN, "train_step", step_after_save)
    with pytest.raises(StorageError, match="the disk is full"):
        train(on_event=seen.append)
    assert [event.step for event in seen if isinstance(event, events.Advanced)] == [1, 2, 3, 4]


def a_second_interrupt_leaves_nothing_half_made(patch: Patch) -> None:
    gate = Gate(patch)
    abandon = BackgroundSave.abandon

    def abandoned(save: BackgroundSave) -> None:
        save._abandoned.set()
        gate.open.set()
        abandon(save)

    def handle(event: events.Event) -> None:
        if isinstance(event, events.Advanced) and event.step == 6:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    patch.setattr(BackgroundSave, "abandon", abandoned)
    with pytest.raises(KeyboardInterrupt):
        train(on_event=handle)
    gate.open.set()
    assert [thread for thread in threading.enumerate() if thread.name == THREAD_NAME] == []
    assert os.listdir(RUN / "checkpoints") == ["00000000"]
    assert charkit.train(resume=RUN, threads=1).step == 12
    assert bits_of(charkit.train(resume=RUN, threads=1, max_steps=13)) == bits_of(
        train(run="whole", max_steps=13)
    )


def records_are_there_before_their_checkpoint(patch: Patch) -> None:
    take, found = Trainer._checkpoint, {}

    def look(self: Trainer) -> Any:
        """Before the save begins on its thread: from then on, later records may be there, too."""
        found[self.model.step] = [record["step"] for record in Run.open(RUN).records(METRICS)]
        return take(self)

    patch.setattr(Trainer, "_checkpoint", look)
    result = train()
    assert list(found) == [4, 8, 12]
    assert all(steps == list(range(1, step + 1)) for step, steps in found.items()), found
    assert [step for step, _ in losses_of(result)] == list(range(1, 13))


def a_backend_has_one_thread(patch: Patch) -> None:
    threads = set()

    def noting(real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*given: Any) -> Any:
            threads.add(threading.get_ident())
            return real(*given)

        return called

    for name in ("tensor", "numpy"):
        patch.setattr(NumpyBackend, name, noting(getattr(NumpyBackend, name)))
    train()
    assert threads == {threading.get_ident()}


def waiting_is_in_the_speed(patch: Patch) -> None:
    """A step takes a second here, and each save keeps training waiting for a hundred."""
    seconds = 0.0
    step, finish = CharRNN.train_step, Saving.finish

    def timed(model: CharRNN, *batch: Any, **options: Any) -> Any:
        nonlocal seconds
        seconds += 1
        return step(model, *batch, **options)

    def waiting(self: Saving, **options: Any) -> None:
        nonlocal seconds
        seconds += 100 * (self._in_flight is not None)
        finish(self, **options)

    patch.setattr(CharRNN, "train_step", timed)
    patch.setattr(Saving, "finish", waiting)
    patch.setattr("charkit.training.trainer.Clock", lambda before: Clock(before, lambda: seconds))
    result = train(sample_length=0)
    characters = SMALL["batch_size"] * SMALL["num_steps"]
    assert result.characters_per_second == pytest.approx(12 * characters / (12 + 3 * 100))


# ---- faults -------------------------------------------------------------------------------------------------


def waits_for_each(patch: Patch) -> None:
    start = Saving.start

    def started(self: Saving, *given: Any, **options: Any) -> None:
        start(self, *given, **options)
        self.finish()

    patch.setattr(Saving, "start", started)


def arrays_that_the_next_step_overwrites(patch: Patch) -> None:
    taken: list[Any] = []
    snapshot, step = CharRNN.snapshot, CharRNN.train_step

    def shared(model: CharRNN) -> Any:
        taken.append(snapshot(model))
        return taken[-1]

    def overwriting(model: CharRNN, *batch: Any, **options: Any) -> Any:
        for one in taken:
            one.weights["output.bias"][:] = 0.5
        return step(model, *batch, **options)

    patch.setattr(CharRNN, "snapshot", shared)
    patch.setattr(CharRNN, "train_step", overwriting)


def waits_for_none(patch: Patch) -> None:
    """A save that is in flight is forgotten."""
    patch.setattr(Saving, "finish", lambda self, **_: setattr(self, "_in_flight", None))


def snapshots_that_are_kept(patch: Patch) -> None:
    start = Saving.start
    kept = []

    def keeping(self: Saving, checkpoint: Any, **options: Any) -> None:
        kept.append(checkpoint)
        start(self, checkpoint, **options)

    patch.setattr(Saving, "start", keeping)


def errors_that_are_kept(patch: Patch) -> None:
    def result(self: BackgroundSave) -> Path:
        self._ended.wait()
        if self._error is not None:
            raise self._error
        assert self._path is not None
        return self._path

    patch.setattr(BackgroundSave, "result", result)


def says_saved_too_early(patch: Patch) -> None:
    start = Saving.start

    def early(self: Saving, checkpoint: Any, **options: Any) -> None:
        step = checkpoint.progress.step
        self._emit(events.Saved(step, RUN / "checkpoints" / f"{step:08d}", False))
        start(self, checkpoint, **options)

    patch.setattr(Saving, "start", early)


def looks_seldom(patch: Patch) -> None:
    patch.setattr(Saving, "report_ended", lambda self: False)


def names_the_last_reported(patch: Patch) -> None:
    def check_finite(self: Trainer, what: str, value: float, step: int) -> None:
        if not np.isfinite(value):
            raise self._divergence(f"the {what} is not finite at step {step}")

    patch.setattr(Trainer, "_check_finite", check_finite)


def gives_nothing_up(patch: Patch) -> None:
    patch.setattr(BackgroundSave, "_check", lambda self: None)


def leaves_at_once(patch: Patch) -> None:
    patch.setattr(Saving, "__exit__", lambda *_arguments: None)


def records_later(patch: Patch) -> None:
    real, waiting = Saving.record, []

    def late(self: Saving, *given: Any) -> None:
        waiting.append(given)
        if len(waiting) > 1:
            real(self, *waiting.pop(0))

    patch.setattr(Saving, "record", late)


def snapshots_on_the_thread(patch: Patch) -> None:
    write, models = saving.save_checkpoint, []
    take = Trainer._checkpoint

    def checkpoint(self: Trainer) -> Any:
        models.append(self.model)
        return take(self)

    patch.setattr(Trainer, "_checkpoint", checkpoint)
    patch.setattr(saving, "save_checkpoint", lambda *given: (models[-1].snapshot(), write(*given))[1])


def pauses_the_clock(patch: Patch) -> None:
    save = Trainer._save

    def paused(self: Trainer, **options: Any) -> None:
        with self.clock.paused():
            save(self, **options)

    patch.setattr(Trainer, "_save", paused)


Promise = Callable[[Patch], None]
FOUND_BY: list[tuple[Promise, Promise]] = [
    (training_goes_on, waits_for_each),
    (training_goes_on, arrays_that_the_next_step_overwrites),
    (one_save_at_a_time, waits_for_none),
    (one_save_at_a_time, snapshots_that_are_kept),
    (one_save_at_a_time, errors_that_are_kept),
    (saved_means_whole, says_saved_too_early),
    (a_session_waits_for_its_saves, waits_for_none),
    (a_session_waits_for_its_saves, leaves_at_once),
    (divergence_names_the_save_in_flight, names_the_last_reported),
    (an_error_comes_at_the_next_step, looks_seldom),
    (a_second_interrupt_leaves_nothing_half_made, gives_nothing_up),
    (a_second_interrupt_leaves_nothing_half_made, leaves_at_once),
    (records_are_there_before_their_checkpoint, records_later),
    (a_backend_has_one_thread, snapshots_on_the_thread),
    (waiting_is_in_the_speed, pauses_the_clock),
]


@pytest.fixture(autouse=True)
def _no_thread_is_left(monkeypatch: Patch) -> Iterator[None]:
    """A planted fault may leave a save behind, which ends before the next test begins."""
    yield
    if Gate.last is not None:
        Gate.last.open.set()
    for thread in threading.enumerate():
        if thread.name == THREAD_NAME:
            thread.join(2 * PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "promise", dict.fromkeys(promise for promise, _ in FOUND_BY), ids=lambda p: p.__name__
)
def test_a_save_on_a_thread_keeps_its_promises(promise: Promise, monkeypatch: Patch) -> None:
    promise(monkeypatch)


@pytest.mark.parametrize(("promise", "fault"), FOUND_BY, ids=lambda p: p.__name__)
def test_planted_faults_are_found(promise: Promise, fault: Promise, monkeypatch: Patch) -> None:
    fault(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, charkit.CharkitError)):
        promise(monkeypatch)
