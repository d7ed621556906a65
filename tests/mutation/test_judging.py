"""What records amount to: the score, where findings point, which mistakes were named, and the page of it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mutation.judging import judge, mistake_named
from mutation.parts import parts_of, points_at_it
from mutation.records import Draw, Outcome, Record, Verdict
from mutation.report import render
from mutation.reviewed import Equivalent

DRAW = Draw("numpy", seed=5, count=4, candidates=1000, checks=60, unchanged_seconds=7.0)


def record(
    name: str,
    outcome: Outcome = "caught",
    *,
    file: str = "lstm.py",
    function: str = "_forward",
    look_at: str = "",
    expected: str = "",
) -> Record:
    verdict = Verdict(outcome, "forward", "one_layer", expected, "", look_at, 1.0)
    return Record(name, file, function, "constants", "a = 1", "a = 2", verdict)


RECORDS = [
    record("found", look_at="it looks like swapped hidden and cell states; see lstm.py; lstm.py: the state"),
    record("found elsewhere", look_at="optimizer.py: Adam"),
    record("survived", "survived"),
    record("the same", "survived"),
    record("hangs", "timeout"),
]
REASONS = {"the same": Equivalent("same", "it adds zero"), "found": Equivalent("same", "not so")}


def test_score_leaves_out_equivalent_mutants_that_survived() -> None:
    judged = judge(DRAW, RECORDS, REASONS)
    assert judged.caught == 3
    assert judged.score == 3 / 4
    assert [one.identity for one in judged.equivalent] == ["the same"]
    assert [one.identity for one in judged.survivors] == ["survived"]
    assert judge(DRAW, RECORDS, {}).score == 3 / 5


def test_one_that_is_listed_as_equivalent_and_caught_is_reported() -> None:
    """Such an entry would excuse the kit if it stopped catching the mutant."""
    assert [one.identity for one in judge(DRAW, RECORDS, REASONS).excused] == ["found"]
    assert judge(DRAW, RECORDS, {}).excused == []


def test_pointing_is_a_share_of_those_caught() -> None:
    judged = judge(DRAW, RECORDS, REASONS)
    assert [one.identity for one in judged.elsewhere] == ["found elsewhere", "hangs"]
    assert judged.pointing == pytest.approx(1 / 3)


def test_names_are_collected() -> None:
    assert [name for _, name in judge(DRAW, RECORDS, REASONS).names] == ["swapped hidden and cell states"]
    assert mistake_named(record("x", look_at="it looks like a doubled bias")) == "a doubled bias"
    assert mistake_named(record("x", look_at="lstm.py: it looks like nothing")) == ""


@pytest.mark.parametrize(
    ("file", "function", "look_at", "wanted"),
    [
        ("lstm.py", "_forward", "lstm.py: z = W x", True),
        ("lstm.py", "_forward", "/charkit_numpy/lstm.py:20 in other", True),
        ("lstm.py", "_forward", "/charkit_numpy/output.py:20 in __call__", False),
        ("backend.py", "NumpyBackend.tensor", "backend.py: tensor() copies in", True),
        ("backend.py", "NumpyBackend.tensor", "backend.py: numpy() copies out", False),
        ("backend.py", "NumpyBackend.tensor", "/charkit_numpy/backend.py:9 in tensor", True),
        ("backend.py", "NumpyBackend.tensor", "/charkit_numpy/backend.py:9 in numpy", False),
        ("backend.py", "_joined", "backend.py: differentiate()", True),
        ("optimizer.py", "NumpyOptimizer.__call__", "lstm.py: the state", False),
    ],
)
def test_where_a_finding_points(file: str, function: str, look_at: str, wanted: bool) -> None:
    assert points_at_it("numpy", record("x", file=file, function=function, look_at=look_at)) is wanted


def test_what_is_expected_points_too() -> None:
    one = record("x", file="backend.py", function="NumpyBackend.versions", look_at="backend.py: the class")
    assert not points_at_it("numpy", one)
    said = replace(one.verdict, expected="versions(): names of libraries")
    assert points_at_it("numpy", replace(one, verdict=said))


def test_the_example_keeps_all_in_one_file() -> None:
    assert parts_of("plain", "backend.py", "update") == {"optimizer"}
    assert parts_of("plain", "backend.py", "PlainBackend.differentiate.backward") == {"differentiate"}
    assert parts_of("plain", "framework.py", "Tensor.linear") >= {"lstm", "output"}


def test_the_page_has_scores_survivors_and_reasons() -> None:
    text = render([judge(DRAW, RECORDS, REASONS)], REASONS)
    assert "| NumPy | 1,000 | 5 | 5 | 3 (1 timeout) | 1 | 1 | 75.0% | 33.3% | 1 |" in text
    assert "tests that check.\n\n- `` survived ``" in text
    assert "- it adds zero\n  - `` the same ``" in text
    assert "| ranges | A loop omits its first or its last iteration" in text


def test_a_share_is_rounded_down() -> None:
    many = [record(f"found {number}") for number in range(2999)] + [record("survived", "survived")]
    assert "| 99.9% |" in render([judge(DRAW, many, {})], {})
