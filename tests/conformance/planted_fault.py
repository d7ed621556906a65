"""What a planted fault is."""

from __future__ import annotations

from dataclasses import dataclass

from charkit_numpy.backend import NumpyBackend


@dataclass(frozen=True)
class Fault:
    """A planted fault, the checks that must fail on it, and what the failure must call it."""

    what: str
    backend: type[NumpyBackend]
    fails: tuple[str, ...]
    named: str = ""
