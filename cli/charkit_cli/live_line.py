"""A line at the bottom of a terminal that is rewritten as work advances."""

from __future__ import annotations

import time

from rich.console import Console
from rich.live import Live
from rich.text import Text

#: Seconds from one drawing to the next at least.
DRAW_SECONDS = 0.125


class LiveLine(Live):
    """rich's ``Live`` without its thread, which can draw the line in the middle of what another thread prints.

    It draws when it is updated, unless it did so a moment ago, and once more below everything that the console prints.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console=console, auto_refresh=False, transient=True)
        self._drawn_at = float("-inf")

    def show(self, line: Text) -> None:
        """Replaces the line."""
        now = time.monotonic()
        is_due = now - self._drawn_at >= DRAW_SECONDS
        self.update(line, refresh=is_due)
        if is_due:
            self._drawn_at = now
