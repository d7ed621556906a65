"""The progress of a sweep: a live line on a terminal and a lasting one per event; in a pipe, the latter alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from rich.console import Console
from rich.text import Text

from charkit import events
from charkit_cli.live_line import LiveLine
from charkit_cli.progress import FailSafeProgress
from charkit_cli.terminal_output import PLAIN_EVERY_SECONDS, duration
from charkit_sweep import SweepProgress, SweepTrial

SweepEvent = SweepProgress | events.Reading
_STYLES = {
    "begun": "bold",
    "started": "dim",
    "finished": "bold",
    "failed": "red",
    "stopping": "yellow",
}


class SweepLines:
    """Shows a sweep while it is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = LiveLine(console) if console.is_interactive else None
        self._printed_at = time.monotonic()

    def __enter__(self) -> SweepLines:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(self, *_error: object) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, event: SweepEvent) -> None:
        """Shows what happened: a line that stays, unless it is only that a trial advanced."""
        if isinstance(event, events.Reading):
            what = event.stage if event.stage.startswith("loading ") else f"{event.stage} the text"
            self._show(Text(f"{what}  {event.fraction:.0%}", style="dim"))
            return
        if event.message:
            again = (
                "; press Ctrl-C again to quit without saving"
                if event.message.startswith("interrupted")
                else ""
            )
            is_best = event.what == "stopped" and event.trial is not None and event.trial == event.best
            self._print(event.message + again, "green" if is_best else _STYLES.get(event.what, ""))
        self._show(self.line_of(event))

    def line_of(self, event: SweepProgress) -> Text:
        """The state of the sweep in a line that fits, without the least important parts if they are too long."""
        parts = _parts(event)
        columns = self._console.width - len("^C")  # which a terminal shows at an interrupt
        while sum(len(text) + 2 for _, text, _ in parts) > columns and len(parts) > 1:
            parts.remove(max(parts))
        line = Text(no_wrap=True, overflow="ellipsis")
        for index, (_, text, style) in enumerate(parts):
            line.append(f"{'  ' if index else ''}{text}", style=style)
        return line

    def _show(self, line: Text) -> None:
        """Replaces the live line; elsewhere prints it, if nothing was printed for a while."""
        if self._live is not None:
            self._live.show(line)
        elif time.monotonic() - self._printed_at >= PLAIN_EVERY_SECONDS:
            self._print(line.plain, "")

    def _print(self, line: str, style: str) -> None:
        self._printed_at = time.monotonic()
        self._console.print(Text(line, style=style))


def _parts(event: SweepProgress) -> list[tuple[int, str, str]]:
    """What is shown, in order: how important it is, from 0 on, the text, and its style."""
    best = event.best
    parts = [
        (1, f"{event.fraction:>4.0%}", "bold"),
        (2, f"{len(event.running)} running", "cyan"),
        (3, f"{event.waiting} waiting", ""),
        (4, f"{event.stopped} stopped", ""),
        (5, f"{event.finished} finished", "green"),
        (6, f"{event.failed} failed" if event.failed else "", "red"),
        (0, "" if best is None else f"best {best.loss:.4f} (trial {best.number})", "bold"),
        (2, f"{duration(event.seconds_left)} left" if event.seconds_left else "", "dim"),
        (7, ", ".join(map(_running, event.running)), "dim"),
    ]
    return [part for part in parts if part[1].strip()]


def _running(trial: SweepTrial) -> str:
    return f"trial {trial.number} at step {trial.step:,}"


@contextmanager
def sweep_progress(console: Console) -> Iterator[Callable[[SweepEvent], None]]:
    """Yields what shows the events of a sweep. Should that fail, it is logged once, and the sweep goes on."""
    with FailSafeProgress(cast(Any, SweepLines(console))) as show:
        yield cast(Any, show)
