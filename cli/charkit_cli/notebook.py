"""Progress in a notebook: what a terminal shows, in one output of the cell that is rewritten as training advances.

It works in every front end that draws HTML, without ipywidgets, which rich's own live displays would need.
"""

from __future__ import annotations

import time
from collections import deque
from io import StringIO
from typing import Any, NamedTuple

from rich.console import Console, RenderableType
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from charkit import events
from charkit.training.interrupts import IN_WORDS
from charkit_cli.progress import BAR_COLUMNS, FailSafeProgress, LiveProgress
from charkit_cli.terminal_output import PrintableConsole, duration

COLUMNS = 100
#: Seconds from one drawing to the next, and until the bar of something that is usually short is drawn at all.
DRAW_SECONDS = 0.2
SHORT_SECONDS = 0.5
#: How many lasting lines and samples stay below the first lines, since each drawing sends all of them again.
KEPT_BLOCKS = 40
_PAGE = (
    '<pre style="white-space: pre-wrap; line-height: normal; margin: 0; '
    "font-family: Menlo, 'DejaVu Sans Mono', Consolas, 'Courier New', monospace\">{code}</pre>"
)
#: Colors that are legible on white and on dark gray. For what is dim, rich blends the theme's black and white.
_PALETTE = {
    "black": (0, 0, 0),
    "red": (214, 69, 65),
    "green": (38, 150, 80),
    "yellow": (176, 128, 0),
    "blue": (59, 143, 209),
    "magenta": (168, 96, 190),
    "cyan": (0, 150, 160),
    "white": (128, 128, 128),
}
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), list(_PALETTE.values()))
#: Events that come many times per second; the others are drawn at once.
_FREQUENT = (events.Reading, events.Advanced, events.Validating)


class _Printed(NamedTuple):
    """What was printed, for front ends that draw HTML and for those that don't."""

    html: str
    plain: str


_LEFT_OUT = _Printed("...\n", "...\n")


class NotebookOutput:
    """One output of a cell: what was printed on ``console``, and below it a line that changes.

    It stands in for rich's ``Live``, so that LiveProgress draws here as it does on a terminal.
    """

    def __init__(self) -> None:
        self.console = _recording_console()
        self._first: _Printed | None = None
        self._recent: deque[_Printed] = deque(maxlen=KEPT_BLOCKS)
        self._blocks = 0  # of all that were printed after the first
        self._line = Text()
        self._display: Any = None  # IPython's DisplayHandle, once something was drawn
        self._drawn = float("-inf")

    @property
    def is_drawn(self) -> bool:
        """Whether the cell has this output already."""
        return self._display is not None

    def __enter__(self) -> NotebookOutput:
        return self

    def stop(self) -> None:
        """Draws what has not been drawn yet."""
        self.draw()

    def show(self, line: Text) -> None:
        """Replaces the line, and draws unless the last drawing was a moment ago."""
        self._line = line
        if time.monotonic() - self._drawn >= DRAW_SECONDS:
            self.draw()

    def draw(self) -> None:
        """Draws everything."""
        from IPython.display import display

        self._drawn = time.monotonic()
        self._take_printed()
        shown = [] if self._first is None else [self._first]
        shown += [_LEFT_OUT] if self._blocks > len(self._recent) else []
        shown += [*self._recent, _rendered(self._line)]
        content = {
            "text/html": _PAGE.format(code="".join(block.html for block in shown)),
            "text/plain": "".join(block.plain for block in shown).rstrip(),
        }
        if self._display is None:
            self._display = display(content, raw=True, display_id=True)
        else:
            self._display.update(content, raw=True)

    def _take_printed(self) -> None:
        """Moves what was printed since the last drawing to the lasting lines."""
        block = _recorded(self.console)
        if not block.plain:
            return
        if self._first is None:
            self._first = block
        else:
            self._blocks += 1
            self._recent.append(block)


def notebook_progress() -> FailSafeProgress:
    """What shows the events of training in the cell that trains, and can't end it: a browser that has gone may fail."""
    return FailSafeProgress(NotebookProgress())


class NotebookProgress:
    """Shows the events of training in the cell that trains."""

    def __init__(self) -> None:
        self._output = NotebookOutput()
        self._began = time.monotonic()
        self._run = ""
        self._progress = LiveProgress(self._output.console, self._output, "press the stop button again")

    def __enter__(self) -> NotebookProgress:
        return self

    def __exit__(self, *_error: object) -> None:
        """There is nothing to restore."""

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.Reading) and time.monotonic() - self._began < SHORT_SECONDS:
            return  # it would stay above an error, if one follows
        self._progress(event)
        if isinstance(event, events.Started):
            self._run = str(event.run)
        if isinstance(event, events.Ended) and event.reason in IN_WORDS:
            self._output.show(Text())  # the estimate of the time left is no longer true
            self._output.console.print(
                f"stopped at step {event.step:,}; the run is saved; to continue it, call "
                f"charkit.train(resume={self._run!r})",
                markup=False,
                soft_wrap=True,
            )
        if not isinstance(event, _FREQUENT):
            self._output.draw()


def show_notice(notice: str) -> None:
    """Shows one line that the user should read."""
    output = NotebookOutput()
    output.console.print(f"note: {notice}", markup=False)
    output.draw()


class NotebookBar:
    """Shows how much of something else is done, if it takes long enough to wonder.

    It is called with the name of the stage and the fraction of everything that is done, from 0 to 1.
    """

    def __init__(self) -> None:
        self._output = NotebookOutput()
        self._began = time.monotonic()

    def __call__(self, stage: str, fraction: float) -> None:
        seconds = time.monotonic() - self._began
        if seconds < SHORT_SECONDS:
            return
        filled = round(BAR_COLUMNS * fraction)
        line = Text().append("█" * filled, style="cyan")
        line.append("░" * (BAR_COLUMNS - filled), style="dim")
        line.append(f" {fraction:>4.0%}", style="bold")
        line.append(f" {stage}, {duration(seconds)}", style="dim")
        self._output.show(line)
        if fraction >= 1 and self._output.is_drawn:
            self._output.draw()


def _recording_console() -> Console:
    """A console that records what is printed on it, for HTML."""
    return PrintableConsole(
        file=StringIO(),
        record=True,
        width=COLUMNS,
        force_jupyter=False,
        force_terminal=False,
        highlight=False,
    )


def _recorded(console: Console) -> _Printed:
    """What was printed since the last call."""
    console.file.seek(0)
    console.file.truncate()
    plain = console.export_text(clear=False)
    return _Printed(console.export_html(theme=_THEME, code_format="{code}", inline_styles=True), plain)


def _rendered(renderable: RenderableType) -> _Printed:
    """A renderable as HTML and as plain text."""
    console = _recording_console()
    console.print(renderable)
    return _recorded(console)
