"""Ends the process of a command although a backend's threads keep running, for which Python would wait."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

#: How long threads may take to end by themselves.
_PATIENCE_SECONDS = 10.0


def limit_wait_for_threads(status: int) -> None:
    """Ends this process with the status, after a while, if threads keep it alive after its last line."""
    timer = threading.Timer(_PATIENCE_SECONDS, _end, [status])
    timer.daemon = True
    timer.start()


def _end(status: int) -> None:
    try:
        with suppress(OSError, AttributeError, ValueError):  # the streams are closed or missing
            print(
                "note: this process ended although threads that the backend started were still running",
                file=sys.stderr,
            )
            sys.stdout.flush()
    finally:
        os._exit(status)
