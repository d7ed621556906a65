"""An event handler that prints the progress of training, for scripts, where the library prints nothing by itself."""

from __future__ import annotations

from charkit.events import Event, EventHandler


class ProgressPrinter:
    """An event handler that prints progress to standard error, as ``toolkit train`` does in a pipe.

        charkit.train("anna.txt", on_event=charkit.ProgressPrinter())

    It prints a line every five seconds, and one for each validation, sample and save. Each call of ``train`` needs a
    printer of its own.
    """

    def __init__(self) -> None:
        self._show: EventHandler | None = None

    def __call__(self, event: Event) -> None:
        """Prints what the event reports, if it is time to."""
        if self._show is None:
            from charkit_cli.progress import plain_progress  # rich is imported only if it is used

            self._show = plain_progress()
        self._show(event)
