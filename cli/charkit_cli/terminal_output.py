"""Output that all commands share: for people on a terminal, and for programs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from charkit_cli import streams
from charkit_cli.message_translation import translate
from charkit_cli.printable import json_escaped, printable

#: Seconds between two plain lines about a long wait.
PLAIN_EVERY_SECONDS = 5.0
#: Columns of what goes to a file or a pipe, where nothing may be wrapped.
WIDE_COLUMNS = 10_000


class PrintableConsole(Console):
    """A console on which no text is obeyed: control characters in what is printed are shown as escapes.

    Only what rich itself adds, such as colors, still commands the terminal.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of a renderable, with their texts made printable. Rows of a table end with their last cell."""
        segments = super().render(renderable, options)
        tables = sys.modules.get("rich.table")  # not imported for commands that print none
        if tables is not None and isinstance(renderable, tables.Table) and not self.is_terminal:
            segments = _without_trailing_spaces(segments)
        for segment in segments:
            yield segment if segment.is_control else segment._replace(text=printable(segment.text))

    def on_broken_pipe(self) -> None:
        """Leaves the error to the command; by itself rich would end the program, whatever it is in the middle of."""
        raise  # noqa: PLE0704 - rich calls this where it has caught the error


def _without_trailing_spaces(segments: Iterable[Segment]) -> Iterator[Segment]:
    """The segments without the spaces at the end of each line, of which a wide table has hundreds."""
    for line in Segment.split_lines(segments):
        kept = list(line)
        while kept and not kept[-1].is_control and not kept[-1].text.strip():
            kept.pop()
        if kept and not kept[-1].is_control:
            kept[-1] = kept[-1]._replace(text=kept[-1].text.rstrip())
        yield from (*kept, Segment.line())


def to_user() -> Console:
    """Where results go: standard output."""
    return _console(streams.results())


def to_log() -> Console:
    """Where progress and notices go: standard error."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    if stream.isatty():
        return PrintableConsole(file=stream, highlight=False, emoji=False)
    # Not interactive even where FORCE_COLOR asks for the colors of a terminal.
    return PrintableConsole(
        file=stream, highlight=False, emoji=False, soft_wrap=True, width=WIDE_COLUMNS, force_interactive=False
    )


def print_json(content: dict[str, Any]) -> None:
    """Prints exactly one JSON object on standard output; a number that is not finite is null there."""
    stream = streams.results()
    print(
        json_escaped(json.dumps(_finite(content), ensure_ascii=False, allow_nan=False), stream.encoding),
        file=stream,
        flush=True,  # a command may go on, as `toolkit report --watch` does
    )


def _finite(content: Any) -> Any:
    match content:
        case dict():
            return {key: _finite(value) for key, value in content.items()}
        case list() | tuple():
            return [_finite(value) for value in content]
        case float() if not isfinite(content):
            return None
    return content


def print_notices(console: Console, lines: Sequence[str]) -> None:
    """Prints lines that a user should read before what follows, in the options of the command that was called."""
    for line in lines:
        console.print(f"note: {translate(line)}", style="yellow", markup=False)


def print_files(console: Console, files: Sequence[str]) -> None:
    """Prints which files were read, one a line."""
    for file in files:
        console.print(f"read: {file}", markup=False)


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


def _times_column() -> Any:
    """A column of a progress bar: how long it has taken, and how long it will take, each with its label."""
    from rich.progress import ProgressColumn, Task

    class TimesColumn(ProgressColumn):
        def render(self, task: Task) -> RenderableType:
            parts = [f"{duration(task.elapsed or 0)} elapsed"]
            if task.time_remaining:
                parts.append(f"{duration(task.time_remaining)} left")
            return ", ".join(parts)

    return TimesColumn()


@contextmanager
def waiting(what: str) -> Iterator[Callable[[str, float], None]]:
    """Shows how much of something is done: a bar on a terminal, now and then a line elsewhere.

    What is yielded takes the stage and the fraction of it that is done.
    """
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = to_log()
    if console.is_interactive:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            _times_column(),
        )
        with Progress(
            *columns, console=console, transient=True, speed_estimate_period=3600
        ) as bar:  # stages can be long
            task = bar.add_task(what, total=1.0)
            yield lambda stage, fraction: bar.update(task, description=escape(stage), completed=fraction)
        return
    began = printed = time.monotonic()
    last = 0.0

    def report(stage: str, fraction: float) -> None:
        nonlocal began, printed, last
        now = time.monotonic()
        if fraction < last:  # a stage of its own, and not a part of what was shown before
            began = now
        last = fraction
        if now - printed >= PLAIN_EVERY_SECONDS:
            printed = now
            left = f", {duration((now - began) * (1 / fraction - 1))} left" if 0 < fraction < 1 else ""
            console.print(f"{stage}: {fraction:.0%}{left}", markup=False)

    yield report
