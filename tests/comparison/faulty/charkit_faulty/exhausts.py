"""The NumPy engine with one thing wrong: runs out of memory."""

from typing import Any

from charkit_faulty.at_step import AtStepBackend


class ExhaustsBackend(AtStepBackend):
    """Runs out of memory at step 5, and says so."""

    name = "exhausts"

    def act(self, arguments: list[Any]) -> None:
        """Fails as an allocation does."""
        raise MemoryError("no room for 8 GiB")
