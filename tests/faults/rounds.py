"""How many rounds a harness runs: what the fixture ``rounds`` gives, and its type."""

from __future__ import annotations

from typing import Protocol

import pytest


class Rounds(Protocol):
    """How many rounds a harness runs."""

    def __call__(self, *, short: int, long: int) -> int:
        """The number that ``--rounds`` gives, or else that of the long column with ``--long``, and of the short one."""


def rounds_of(config: pytest.Config) -> Rounds:
    """The numbers that the options of this call of pytest ask for."""
    asked: int | None = config.getoption("rounds")

    def number(*, short: int, long: int) -> int:
        if asked is not None:
            return asked
        return long if config.getoption("long") else short

    return number
