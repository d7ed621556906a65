"""The NumPy engine with one thing wrong: never comes back."""

import os
import time
from pathlib import Path
from typing import Any

from charkit_faulty.at_step import AtStepBackend


class StallsBackend(AtStepBackend):
    """Hangs at step 5."""

    name = "stalls"

    def act(self, arguments: list[Any]) -> None:
        """Says that it does, and waits for what never comes."""
        if told := os.environ.get("CHARKIT_TEST_STALLED"):
            Path(told).touch()
        time.sleep(3600)
