"""How much of a text has been read, reported a few times per second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Called with the name of a stage and the fraction of it that is done, from 0 to 1.
ProgressCallback = Callable[[str, float], None]

REPORT_SECONDS = 0.25


@contextmanager
def own_errors(progress: ProgressCallback | None) -> Iterator[ProgressCallback | None]:
    """Yields the callback to use while inside. An exception that it raises propagates unchanged.

    Otherwise an OSError of a callback would be taken for one of the files that are read or written meanwhile.
    """
    raised: list[Exception] = []

    def report(stage: str, fraction: float) -> None:
        assert progress is not None
        try:
            progress(stage, fraction)
        except Exception as error:
            raised.append(error)
            raise

    try:
        yield None if progress is None else report
    except Exception:
        if not raised:
            raise
    if raised:  # out here, so that what was made of it is not its context
        raise raised[0]


class ProgressMeter:
    """Calls ``progress`` at the start of a stage, a few times per second, and at its end."""

    def __init__(self, stage: str, total_bytes: int, progress: ProgressCallback | None) -> None:
        self._stage = stage
        self._total_bytes = total_bytes
        self._progress = progress
        self._next_report = 0.0

    def update(self, done_bytes: int) -> None:
        """Reports the bytes read so far, unless the last report was a moment ago."""
        if self._progress is None or time.monotonic() < self._next_report:
            return
        self._next_report = time.monotonic() + REPORT_SECONDS
        # A file that grows while it is read must not report more than all.
        self._progress(self._stage, min(1.0, done_bytes / max(1, self._total_bytes)))

    def finish(self) -> None:
        """Reports that the stage is done."""
        if self._progress is not None:
            self._progress(self._stage, 1.0)
