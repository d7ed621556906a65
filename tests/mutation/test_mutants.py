"""Mutants of a whole file: what is left alone, what counts once, and how mutants are drawn."""

from __future__ import annotations

import ast

import pytest

from mutation.drawing import all_mutants, draw
from mutation.mutants import Mutant, mutants_of
from mutation.targets import TARGETS

SOURCE = '''"""A file with a 1 in its documentation."""

import numpy as np

Pair = tuple[int, int]
LIMIT = 3


class Thing:
    """A thing, 2 of them."""

    def double(self, x: "np.ndarray[1]") -> "tuple[4]":
        """Returns 2 * x."""
        if x is None:
            raise ValueError("needs 1 array, or 2")
        return 2 * x


REGISTERED = Info(summary="more than 1", api=1)
'''


def mutants(source: str = SOURCE) -> list[Mutant]:
    return list(mutants_of("numpy", "thing.py", source))


def test_one_line_is_changed_and_nothing_else() -> None:
    original = ast.unparse(ast.parse(SOURCE)).splitlines()
    made = mutants()
    assert len(made) > 10
    for mutant in made:
        changed = [
            line for line in ast.unparse(ast.parse(mutant.source)).splitlines() if line not in original
        ]
        assert len(changed) <= 1, mutant.identity  # none where a statement was left out
        assert ast.unparse(ast.parse(mutant.source)) != "\n".join(original)


def test_words_and_types_are_left_alone() -> None:
    assert {one.function for one in mutants()} == {"", "Thing.double"}
    texts = " ".join(f"{one.before} {one.after}" for one in mutants())
    assert "LIMIT = 4" in texts
    assert "api=2" in texts
    assert not any(
        word in texts
        for word in ("documentation", "of them", "tuple", "ndarray", "more than 2", "needs 2", "or 3")
    )


def test_a_mutant_is_known_wherever_it_stands() -> None:
    moved = SOURCE.replace("LIMIT = 3", "LIMIT = 3\nMORE = 7\nYET_MORE = 7")
    assert {one.identity for one in mutants()} < {one.identity for one in mutants(moved)}


def test_alike_mutants_are_numbered() -> None:
    source = "def f(x):\n    x.append(1)\n    x.append(1)\n"
    identities = [one.identity for one in mutants(source)]
    assert len(set(identities)) == len(identities)
    assert "numpy thing.py f: constants: x.append(1) -> x.append(2) (2)" in identities


def test_the_same_program_counts_once() -> None:
    (made,) = [one for one in mutants("y = 0 + x\n") if one.after == "y = x"]
    assert made.rule == "operands"
    sources = [one.source for one in mutants()]
    assert len(set(sources)) == len(sources)


def test_what_does_not_compile_is_no_mutant() -> None:
    assert not [one for one in mutants("def f():\n    yield 1\n    return\n") if "return" in one.before]
    for one in mutants():
        compile(one.source, "mutant", "exec")


@pytest.mark.parametrize("backend", TARGETS)
def test_every_backend_has_enough(backend: str) -> None:
    made = all_mutants(TARGETS[backend])
    assert len(made) > 300
    assert len({one.identity for one in made}) == len(made)
    wanted = {"backend.py", "plugin.py"} | (
        {"framework.py"} if backend == "plain" else {"lstm.py", "loss.py"}
    )
    assert wanted <= {one.file for one in made} <= {*TARGETS[backend].files()} - {"__init__.py"}


def test_a_draw_depends_on_its_seed_and_hardly_on_the_rest() -> None:
    made = all_mutants(TARGETS["plain"])
    first = draw(made, 1, 100)
    assert first == draw(made[::-1], 1, 100)
    assert len({*first} & {*draw(made, 2, 100)}) < 50
    without = [one for one in made if one is not first[50]]
    assert draw(without, 1, 99) == [one for one in first if one is not first[50]]
