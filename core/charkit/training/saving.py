"""The saves of one session: snapshots are taken between two steps and written on a thread, one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from charkit import events
from charkit.durations import duration_seconds
from charkit.errors import NotFiniteError, StorageError
from charkit.runs.background_save import BackgroundSave, Check
from charkit.runs.checkpoint import save_checkpoint
from charkit.runs.checkpoint_content import Checkpoint, TrainingProgress
from charkit.runs.model_card import trained_card
from charkit.runs.pointers import point
from charkit.runs.pruning import prune
from charkit.runs.run import Run
from charkit.training.clock import Clock


class Saving:
    """Saves checkpoints in the background and reports each when it is whole, from the thread that trains.

    As a context manager it leaves no save behind: one that is being written when an error ends the session is waited
    for and reported, and after KeyboardInterrupt it is given up.

    ``diverged`` makes the error for a checkpoint that is not finite, of what is not.
    """

    def __init__(
        self,
        run: Run,
        text_name: str,
        progress: TrainingProgress,
        clock: Clock,
        emit: events.EventHandler,
        diverged: Callable[[str], NotFiniteError],
    ) -> None:
        self._run, self._text_name = run, text_name
        self._training = progress.training
        self._now, self._emit, self._diverged = clock.now, emit, diverged
        #: The step of the last checkpoint that is whole.
        self.saved_step = progress.step
        #: Loss and step of the best checkpoint that is whole, None before there is one; set on the thread of its save.
        self.best = (progress.best_validation_loss, progress.best_step)
        #: What writing it took, on the thread.
        self.write_seconds = 0.0
        self._in_flight: BackgroundSave | None = None
        self._written: set[str] = (
            set()
        )  # the names of this session's checkpoints; no two threads use it at a time
        self._unpointed_best: int | None = None  # the best step, until ``best`` points at it
        self._began_at = self._now()

    def due(self, step: int) -> bool:
        """Whether it is time for a save after this step."""
        every = self._training.save_every
        if every.isdecimal():
            return step % int(every) == 0
        return self._now() - self._began_at >= duration_seconds(every)

    def start(self, checkpoint: Checkpoint, *, best: bool) -> None:
        """Begins to write a checkpoint, whose arrays must not change anymore. No other save may be in flight."""
        assert self._in_flight is None, "one save at a time"
        step = checkpoint.progress.step
        save = BackgroundSave(step, best, lambda check: self._write(checkpoint, best, check))
        self._in_flight = save  # before it starts, so that an interruption in between gives it up
        save.start()
        self._began_at = self._now()

    def report_ended(self) -> None:
        """Reports the save in flight if it has ended, and waits for nothing."""
        if self._in_flight is not None and self._in_flight.has_ended:
            self.finish()

    def finish(self, *, last: bool = False) -> None:
        """Waits for the save in flight, if there is one, and reports it.

        Raises StorageError, unless training is to go on without it; for the ``last`` of a session in any case. Raises
        NotFiniteError, BackendError.
        """
        save = self._in_flight
        if save is None:
            return
        path = None
        with self._going_on(save.step, last=last):
            path = self._path_of(save)
        if path is not None:
            self.saved_step, self.write_seconds = save.step, save.seconds
            self._emit(events.Saved(save.step, path, save.best))

    def _path_of(self, save: BackgroundSave) -> Path:
        """Waits for the save, which is then no longer in flight."""
        try:
            return save.result()
        except NotFiniteError as error:
            raise self._diverged(str(error)) from error
        finally:
            if (
                save.has_ended
            ):  # not if something interrupts this thread while it waits: ``__exit__`` ends it then
                self._in_flight = None

    def record(self, name: str, record: dict[str, Any]) -> None:
        """Appends a line to a file of lines, before any later checkpoint is begun."""
        with self._going_on(record["step"]):
            self._run.record(name, record)

    def __enter__(self) -> Saving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if not isinstance(error, KeyboardInterrupt):
                self.finish(last=True)
        except Exception as second:  # raised, or noted on the error that ended the session first
            if error is None:
                raise
            if second is not error:  # the handler of events may raise the same once more
                error.add_note(f"the save in progress failed: {second}")
        finally:
            if self._in_flight is not None:
                self._in_flight.abandon()

    def _write(self, checkpoint: Checkpoint, best: bool, check: Check) -> Path:
        """On the thread: writes the checkpoint, points at it, and removes what is no longer needed.

        A best checkpoint that a failed save could not point at is pointed at here, before anything is removed.
        """
        run, progress = self._run, checkpoint.progress
        path = save_checkpoint(run.path, checkpoint, check)
        if best:
            self.best, self._unpointed_best = (progress.best_validation_loss, progress.step), progress.step
        point(run.path, "latest", progress.step)
        if self._unpointed_best is not None:
            point(run.path, "best", self._unpointed_best)
            self._unpointed_best = None
        self._written.add(path.name)
        prune(run.path, self._written)
        run.write_card(trained_card(run, progress, self._text_name))
        return path

    @contextmanager
    def _going_on(self, step: int, *, last: bool = False) -> Iterator[None]:
        """Turns a StorageError into an event, where training is to go on and something can be saved later."""
        try:
            yield
        except StorageError as error:
            if last or self._training.on_save_error == "stop":
                raise
            self._emit(events.SaveFailed(step, str(error), self.saved_step))
