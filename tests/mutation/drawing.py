"""Which mutants are run: uniformly drawn by a seed, from all that the rules make of a backend."""

from __future__ import annotations

from hashlib import sha256

from mutation.mutants import Mutant, mutants_of
from mutation.targets import Target

#: Left out: a file that holds one line of documentation, and what is used with Numba alone, which mutants run without;
#: ``tests/with_numba`` plants faults in that.
_LEFT_OUT = {"__init__.py", "fused.py", "kernels.py", "numba_support.py"}


def all_mutants(target: Target) -> list[Mutant]:
    """Every mutant of every file of the backend."""
    files = sorted(target.files().items())
    return [
        mutant
        for name, text in files
        if name not in _LEFT_OUT
        for mutant in mutants_of(target.name, name, text)
    ]


def draw(mutants: list[Mutant], seed: int, count: int) -> list[Mutant]:
    """That many mutants, each as likely as any other.

    The order is that of a hash of seed and identity, so that an edit to the backend changes the draw by
    little: mutants that are still there are still drawn.
    """
    return sorted(mutants, key=lambda mutant: sha256(f"{seed} {mutant.identity}".encode()).digest())[:count]
