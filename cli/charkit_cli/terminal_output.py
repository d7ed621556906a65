"""Output that all commands share: for people on a terminal, and for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any

from rich.console import Console

from charkit_cli.message_translation import translate

#: Seconds between two plain lines about a long wait.
PLAIN_EVERY_SECONDS = 5.0
#: Columns of what goes to a file or a pipe, where nothing may be wrapped.
WIDE_COLUMNS = 10_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def to_user() -> Console:
    """Where results go: standard output."""
    return _console(stderr=False)


def to_log() -> Console:
    """Where progress and notices go: standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    if stream.isatty():
        return Console(stderr=stderr, highlight=False)
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=WIDE_COLUMNS)


def print_json(content: dict[str, Any]) -> None:
    """Prints exactly one JSON object on standard output; a number that is not finite is null there."""
    print(json.dumps(_finite(content), ensure_ascii=False, allow_nan=False))


def _finite(content: Any) -> Any:
    match content:
        case dict():
            return {key: _finite(value) for key, value in content.items()}
        case list() | tuple():
            return [_finite(value) for value in content]
        case float() if not isfinite(content):
            return None
    return content


def printable(text: str) -> str:
    """The text without control characters, which a model of bytes draws and a terminal would obey."""
    return _CONTROL.sub("\ufffd", text)


def print_notices(console: Console, lines: Sequence[str]) -> None:
    """Prints lines that a user should read before what follows, in the options of the command that was called."""
    for line in lines:
        console.print(f"note: {translate(line)}", style="yellow", markup=False)


def duration(seconds: float) -> str:
    """Seconds in short: 8s, 3m20s, 1h05m."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def short(number: float) -> str:
    """A number in three or four characters that don't jump about: 950, 12.3k, 226k, 1.5M."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.{0 if number >= 100 * size else 1}f}{unit}"
    return f"{number:.0f}"


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str, float], None]]:
    """Shows how much of something is done: a bar on a terminal, now and then a line elsewhere.

    What is yielded takes the stage and the fraction of it that is done.
    """
    from rich.markup import escape
    from rich.progress import Progress

    console = to_log()
    if console.is_terminal:
        with Progress(
            console=console, transient=True, speed_estimate_period=3600
        ) as bar:  # stages can be long
            task = bar.add_task(what, total=1.0)
            yield lambda stage, fraction: bar.update(task, description=escape(stage), completed=fraction)
        return
    began = printed = time.monotonic()
    current = ""

    def report(stage: str, fraction: float) -> None:
        nonlocal began, printed, current
        now = time.monotonic()
        if stage != current:
            began, current = now, stage
        if now - printed >= PLAIN_EVERY_SECONDS:
            printed = now
            left = f", {duration((now - began) * (1 / fraction - 1))} left" if 0 < fraction < 1 else ""
            console.print(f"{stage}: {fraction:.0%}{left}", markup=False)

    yield report
