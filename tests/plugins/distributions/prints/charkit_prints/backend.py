"""The NumPy engine, loudly."""
# ruff: noqa: T201 - printing is what it is for

import os
import sys

from charkit_numpy.backend import NumpyBackend

print("{} from backend.py")
print("a warning from backend.py", file=sys.stderr)
os.write(1, b"{} from the depths of backend.py\n")


class PrintsBackend(NumpyBackend):
    """Does what it should, and says so."""

    name = "prints"

    @classmethod
    def devices(cls) -> list[str]:
        """Prints, too."""
        print("{} from devices()")
        return super().devices()

    def __init__(self, *, precision: str, device: str, threads: int | None) -> None:
        """Prints, too."""
        print("{} from __init__()")
        super().__init__(precision=precision, device=device, threads=threads)
