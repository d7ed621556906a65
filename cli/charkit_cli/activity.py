"""What a command is doing right now, and for how long: a live line on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

from charkit_cli.terminal_output import PLAIN_EVERY_SECONDS, duration, to_log


class Activity:
    """Shows the latest text with the seconds since it was set, on standard error.

    with Activity() as activity:
        activity.set("verifying numpy: training, one_step (float32)")
        with activity.hidden():
            print("a line that stays")
    """

    def __init__(self, console: Console | None = None) -> None:
        self._console = to_log() if console is None else console
        self._text = ""
        self._since = time.monotonic()
        self._live: Live | None = None
        self._ended = threading.Event()
        self._printer = threading.Thread(target=self._print_lines, daemon=True)

    def __enter__(self) -> Activity:
        if self._console.is_interactive:
            self._show()
        else:
            self._printer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._hide()
        self._ended.set()
        if self._printer.ident is not None:
            self._printer.join()

    def set(self, text: str) -> None:
        """Says what is being done from now on."""
        self._text, self._since = text, time.monotonic()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Takes the live line away while something else is printed."""
        shown = self._live is not None
        self._hide()
        yield
        if shown:
            self._show()

    def _show(self) -> None:
        self._live = Live(
            get_renderable=self._line,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._live.start()

    def _hide(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self) -> Text:
        seconds = time.monotonic() - self._since
        after = f", {duration(seconds)}" if seconds >= 1 else ""
        room = self._console.width - len(after) - len("^C")  # which a terminal shows at an interrupt
        text = Text(self._text, style="dim")
        text.truncate(room, overflow="ellipsis")
        return text.append(after)

    def _print_lines(self) -> None:
        while not self._ended.wait(PLAIN_EVERY_SECONDS):
            seconds = time.monotonic() - self._since
            self._console.print(f"{self._text}, {duration(seconds)}", markup=False)
