"""The type of the fixture ``rounds``."""

from __future__ import annotations

from typing import Protocol


class Rounds(Protocol):
    """How many rounds a harness runs."""

    def __call__(self, *, short: int) -> int:
        """The number that ``--rounds`` gives, or else that of the short column."""
