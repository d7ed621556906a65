"""The NumPy engine with one thing wrong: kills its process."""

import os
import signal
from typing import Any

from charkit_faulty.at_step import AtStepBackend


class DiesBackend(AtStepBackend):
    """Is killed at step 5, as the system does when memory runs out."""

    name = "dies"

    def act(self, arguments: list[Any]) -> None:
        """Ends this process at once."""
        os.kill(os.getpid(), signal.SIGKILL)
