"""A function for ``sys.settrace`` that reports the lines of a plugin's code, and of no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

from charkit.plugins.failures import is_inside


def line_tracer(
    sources: Sequence[Path], on_line: Callable[[FrameType], object], *, returns: bool = False
) -> Callable[..., Any]:
    """What ``sys.settrace`` takes: calls ``on_line`` before each line of the files and folders ``sources``.

    With ``returns``, it is also called when a function of theirs returns: the line that called it may go on with what
    the function left elsewhere.
    """
    where, events = tuple(sources), ("line", "return") if returns else ("line",)

    def trace_line(frame: FrameType, event: str, _argument: Any) -> Any:
        if event in events:
            on_line(frame)
        return trace_line

    def trace(frame: FrameType, _event: str, _argument: Any) -> Any:
        return trace_line if _is_in(where, frame.f_code.co_filename) else None

    return trace


@cache
def _is_in(sources: tuple[Path, ...], file: str) -> bool:
    return is_inside(file, sources)
