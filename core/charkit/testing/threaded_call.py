"""A call in a thread of its own, which may wait forever for a lock that was never released."""

from __future__ import annotations

import threading
from collections.abc import Callable

from charkit.plugins.supervision import kept_process


class ThreadedCall(threading.Thread):
    """A call that need not end. Afterward, ``result`` is what it returned, or ``error`` what it raised."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with kept_process():
                self.result = self._call()
        except BaseException as error:  # noqa: BLE001 - the error is the result
            self.error = error

    def ends(self, timeout_seconds: float) -> bool:
        """Starts the call, and returns whether it ends within this time."""
        self.start()
        self.join(timeout_seconds)
        return not self.is_alive()
