"""One save on a thread, so that training goes on while a checkpoint is hashed, written and synced."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

#: Raises SaveAbandonedError if the save has been given up.
Check = Callable[[], None]
#: The name of the thread.
THREAD_NAME = "charkit-save"


class SaveAbandonedError(Exception):
    """A save was given up before its checkpoint was complete."""


class BackgroundSave:
    """A save of one step, which begins with ``start``. ``write`` returns the checkpoint's folder.

    ``write`` works with files and NumPy arrays alone: a backend is called from one thread, the one that trains. It
    calls the check that it is given before each thing that takes long.
    """

    def __init__(self, step: int, best: bool, write: Callable[[Check], Path]) -> None:
        self.step, self.best = step, best
        #: What the save took, once it has ended.
        self.seconds = 0.0
        self._path: Path | None = None
        self._error: BaseException | None = None
        # An event and not Thread.join(), after whose interruption Python may take a thread for ended that is not.
        self._ended = threading.Event()
        self._abandoned = threading.Event()
        # A daemon: a third Ctrl-C ends the process even where a disk never answers.
        self._thread = threading.Thread(target=self._run, name=THREAD_NAME, daemon=True)
        self._write: Callable[[Check], Path] | None = write

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    @property
    def has_ended(self) -> bool:
        """Whether ``result`` returns at once."""
        return self._ended.is_set()

    def result(self) -> Path:
        """Waits until the checkpoint is whole and returns its folder; raises what went wrong."""
        self._ended.wait()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # its traceback has this frame, and would keep the arrays of the save in memory
        assert self._path is not None, "a save has a path or an error"
        return self._path

    def abandon(self) -> None:
        """Ends the save soon, and waits for that: nothing of it is left, or a whole checkpoint."""
        self._abandoned.set()
        if self._thread.ident is not None:  # else it will see that it is abandoned before it does anything
            self._ended.wait()

    def _run(self) -> None:
        began = perf_counter()
        try:
            self._check()
            assert self._write is not None, "a save can be started only once"
            self._path = self._write(self._check)
        except BaseException as error:  # noqa: BLE001 - raised again on the thread that asks for the result
            self._error = error
        finally:
            self.seconds = perf_counter() - began
            self._write = (
                None  # with the arrays, of which the next save makes others as soon as this one has ended
            )
            self._ended.set()

    def _check(self) -> None:
        if self._abandoned.is_set():
            raise SaveAbandonedError
