"""The time that training has taken, without validation and sampling, and an estimate of the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Counts steps and seconds of one session. Validation and sampling are left out of the speed.

    What training waits for a save is in it, as are moments that a save in the background takes from the processors.

    ``now`` gives the time in seconds, from any beginning.
    """

    def __init__(self, seconds_before: float, now: Callable[[], float] = time.monotonic) -> None:
        self._before = seconds_before
        self.now = now
        self._started = self._lap_started = now()
        #: Of the session: the seconds that were left out of the speed, and the steps.
        self.paused_seconds = self._lap_paused_seconds = 0.0
        self.steps = self._lap_steps = 0

    def start(self) -> None:
        """Starts the session."""
        self._started = self._lap_started = self.now()

    def count(self) -> None:
        """Counts a step."""
        self.steps += 1
        self._lap_steps += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leaves what happens inside out of the speed."""
        began = self.now()
        try:
            yield
        finally:
            seconds = self.now() - began
            self.paused_seconds += seconds
            self._lap_paused_seconds += seconds

    def lap(self) -> float:
        """Steps per second since the last lap; starts a new lap."""
        now = self.now()
        speed = self._lap_steps / max(1e-9, now - self._lap_started - self._lap_paused_seconds)
        self._lap_started, self._lap_paused_seconds, self._lap_steps = now, 0.0, 0
        return speed

    def average(self) -> float:
        """Steps per second over the session."""
        return self.steps / max(1e-9, self.session_seconds() - self.paused_seconds)

    def session_seconds(self) -> float:
        """Wall-clock seconds since the session started, everything included."""
        return self.now() - self._started

    def elapsed(self) -> float:
        """Wall-clock seconds of all sessions of the run."""
        return self._before + self.session_seconds()

    def left(self, steps: int) -> float | None:
        """An estimate of the seconds that so many steps will take; None before the first step."""
        return self.session_seconds() / self.steps * steps if self.steps else None
