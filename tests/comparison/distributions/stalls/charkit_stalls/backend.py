"""The NumPy engine with one thing wrong: never comes back."""

import time
from typing import Any

from charkit_stalls.at_step import AtStepBackend


class StallsBackend(AtStepBackend):
    """Hangs at step 5."""

    name = "stalls"

    def act(self, arguments: list[Any]) -> None:
        """Waits for what never comes."""
        time.sleep(3600)
