"""What a known mistake is."""

from __future__ import annotations

from typing import NamedTuple

from charkit.testing.oracle import Oracle


class Mistake(NamedTuple):
    """A known mistake: what it looks like, where it is made, and the oracle that makes it."""

    name: str
    where: str
    oracle: type[Oracle]
