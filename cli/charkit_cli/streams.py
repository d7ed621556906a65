"""The standard streams of the command line, made so that none of them can stop a training.

Standard error shows progress, notices and errors. It may go at any time: a ``tee`` that Ctrl-C ended, a terminal that
was closed, a full disk. After a write that failed nothing more is written there, and nothing is raised.

Standard output is for results. A failure to write one is raised, and the command decides. While a command runs,
whatever else is printed, by a plugin or by a library in another language, goes to standard error instead.
"""

from __future__ import annotations

import functools
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from typing import Any, ClassVar, TextIO, TypeVar

from charkit.system.pipes import is_writable

#: Seconds that training waits for a standard error that takes nothing, such as a pager that is not scrolled.
PATIENCE_SECONDS = 5.0
#: What a pipe that is ready takes without waiting; POSIX's least PIPE_BUF.
_CHUNK_BYTES = 512
#: Characters that an encoding lacks are shown by their number; with "replace" they would be lost.
_ENCODING_ERRORS = "backslashreplace"

Result = TypeVar("Result")


class FailSafeOutput(io.FileIO):
    """A raw output that raises nothing: after a write that failed, all others do nothing."""

    #: How long a write may wait; None for as long as it takes.
    patience_seconds: ClassVar[float | None] = None

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._failed = False
        self._stalled = False

    def write(self, data: Any) -> int:
        """Writes what can be written; always returns the size of all."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and not self._failed and self._is_ready():
                rest = rest[super().write(rest[:_CHUNK_BYTES]) or 0 :]
        except OSError:
            self._failed = True
        return size

    def _is_ready(self) -> bool:
        """Waits until the output takes something; False where that takes too long, and then until it does again."""
        patience = 0.0 if self._stalled else self.patience_seconds
        ready = is_writable(self.fileno(), patience)
        self._stalled = not ready and self.patience_seconds is not None
        return ready


@contextmanager
def without_long_waits() -> Iterator[None]:
    """While inside, text for a standard error that takes nothing for a while is dropped: training can't wait for it."""
    before, FailSafeOutput.patience_seconds = FailSafeOutput.patience_seconds, PATIENCE_SECONDS
    try:
        yield
    finally:
        FailSafeOutput.patience_seconds = before


class _State:
    """What is known of standard output, for the whole process."""

    was_closed = False
    results: TextIO | None = None


def prepare() -> None:
    """Prepares the streams of a process that is a command: once, before anything is printed or opened.

    A stream that the caller closed is opened on the null device, since the next file that is opened would otherwise
    become it, and what a library prints would end up in there.
    """
    _State.was_closed = sys.stdout is None
    for number in range(3):
        _open_if_closed(number)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for good
    elif isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=_ENCODING_ERRORS)
    encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(FailSafeOutput(2)), encoding=encoding, errors=_ENCODING_ERRORS, line_buffering=True
    )


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        os.dup2(opened, number)
        if opened != number:
            os.close(opened)
        os.set_inheritable(number, True)


def output_was_closed() -> bool:
    """Whether the process was started without a standard output."""
    return _State.was_closed


def results() -> TextIO:
    """Where results go: standard output, also while everything else is kept from it."""
    return _State.results or sys.stdout


def printing_results_only(command: Callable[..., Result]) -> Callable[..., Result]:
    """A command during which nothing but ``results`` writes to standard output."""

    @functools.wraps(command)
    def wrapper(*arguments: Any, **options: Any) -> Result:
        with _results_apart():
            return command(*arguments, **options)

    return wrapper


@contextmanager
def _results_apart() -> Iterator[None]:
    output = sys.stdout
    with ExitStack() as stack:
        stack.callback(setattr, _State, "results", _State.results)
        stack.enter_context(redirect_stdout(sys.stderr))
        if not _is_descriptor_1(output):  # a program that calls the command line and captures what it prints
            _State.results = output
            yield
            return
        output.flush()
        _State.results = stack.enter_context(_copy_of(output))
        stack.callback(os.dup2, _State.results.fileno(), 1)
        stack.callback(sys.stderr.flush)
        os.dup2(2, 1)
        yield


def _is_descriptor_1(output: TextIO) -> bool:
    with suppress(OSError):  # as io.UnsupportedOperation is, of a stream that is none of the system's
        return output.fileno() == 1
    return False


@contextmanager
def _copy_of(output: TextIO) -> Iterator[TextIO]:
    """Another stream to where the output goes. Raises OSError, at the end too, for what can't be written."""
    copy = open(os.dup(output.fileno()), "w", encoding=output.encoding, errors=output.errors)  # noqa: SIM115
    try:
        yield copy
        copy.flush()
    finally:
        with suppress(OSError):  # raised above, unless another error is on its way
            copy.flush()
        discard(copy)
        copy.close()


def discard(stream: TextIO) -> None:
    """Sends what is still written to a stream of the system's nowhere, so that closing it can't fail again."""
    with suppress(OSError):
        descriptor = stream.fileno()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, descriptor)
        os.close(null)
