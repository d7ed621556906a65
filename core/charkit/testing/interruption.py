"""Two calls in two threads, one of which is stopped at a line of a plugin's code until the other is half done.

A thread may be stopped between any two lines, such as a test of what is shared and its change. Each line of a call is
tried once: the system would stop there once in thousands of calls.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import TypeVar

from charkit.plugins.failures import is_inside
from charkit.plugins.supervision import kept_process
from charkit.testing.line_tracing import line_tracer

#: How long one thread waits for the other to stop or to end, which may itself wait for a lock that the first holds.
_WAIT_SECONDS = 0.01
#: How long a thread stays stopped at most. In a process that the plugin forks off there is no one to release it.
_STOP_SECONDS = 0.5
#: What a `with` statement calls, and what the end of an object's life does.
_CLEANUP = frozenset({"__enter__", "__exit__", "__del__"})
ResultT = TypeVar("ResultT")


def lines_of(call: Callable[[], object], sources: Sequence[Path]) -> list[tuple[str, int]]:
    """The lines of the files and folders ``sources`` that a call runs, in their order: file and number."""
    found: list[tuple[str, int]] = []

    def note(frame: FrameType) -> None:
        found.append((frame.f_code.co_filename, frame.f_lineno))

    def run() -> None:
        with _tracing(sources, note):
            call()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    return found


def cleans_up(frame: FrameType | None, sources: Sequence[Path]) -> bool:
    """Whether a function of the files and folders ``sources``, or one that called it, cleans up after exceptions.

    No Python code is safe from an exception there.
    """
    while frame is not None:
        file = frame.f_code.co_filename
        if is_inside(file, sources) and (
            frame.f_code.co_name in _CLEANUP or frame.f_lineno in _cleanup_lines(file)
        ):
            return True
        frame = frame.f_back
    return False


@cache
def _cleanup_lines(file: str) -> frozenset[int]:
    """The lines of a file in `finally` and `except` clauses, and the word `try`. Empty if the file can't be read."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return frozenset()
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Try):
            lines.update([node.lineno, *(handler.lineno for handler in node.handlers)])
            for part in [*node.finalbody, *(part for handler in node.handlers for part in handler.body)]:
                lines.update(range(part.lineno, (part.end_lineno or part.lineno) + 1))
    return frozenset(lines)


def call_interrupting(
    calls: Sequence[Callable[[], ResultT]], sources: Sequence[Path], lines: tuple[int, int]
) -> list[ResultT]:
    """The results of two calls, each in a thread of its own, the first of which is stopped before a line.

    ``lines`` are numbers of lines, from 1. When the first call has come to its line, the second begins; when that has
    come to its own, the first goes on; when the first has ended, so does the second. A thread that is waited for in
    vain waits for a lock that another holds: then the other goes on. Raises what a call raises.
    """
    stopped, released = ([threading.Event() for _ in calls] for _ in range(2))

    def run(thread: int) -> ResultT:
        count = 0

        def stop(_frame: FrameType) -> None:
            nonlocal count
            count += 1
            if count == lines[thread]:
                sys.settrace(None)  # no other line matters, and tracing takes time
                stopped[thread].set()
                released[thread].wait(_STOP_SECONDS)

        try:
            with _tracing(sources, stop):
                return calls[thread]()
        finally:
            stopped[thread].set()

    with ThreadPoolExecutor(len(calls)) as pool:
        try:
            first = pool.submit(run, 0)
            stopped[0].wait()
            second = pool.submit(run, 1)
            stopped[1].wait(_WAIT_SECONDS)
            released[0].set()
            wait([first], _WAIT_SECONDS)
        finally:
            for event in released:
                event.set()
        return [first.result(), second.result()]


@contextmanager
def _tracing(sources: Sequence[Path], on_line: Callable[[FrameType], object]) -> Iterator[None]:
    """Traces the lines of this thread."""
    with kept_process():
        sys.settrace(line_tracer(sources, on_line))
        try:
            yield
        finally:
            sys.settrace(None)
