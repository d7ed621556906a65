"""The lists of reviewed mutants speak of mutants that there are, and the page is that of the results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mutation.drawing import all_mutants
from mutation.records import RESULTS
from mutation.reviewed import ReviewError, equivalents, named, unknown
from mutation.targets import TARGETS


def test_every_entry_is_a_mutant() -> None:
    identities = {mutant.identity for target in TARGETS.values() for mutant in all_mutants(target)}
    # A mutant of a published draw stays reviewed where the code has been rewritten since.
    identities |= {
        json.loads(line).get("identity") for path in RESULTS for line in path.read_text("utf-8").splitlines()
    }
    assert unknown(equivalents(), identities) == []
    assert unknown({identity: None for identity, _ in named()}, identities) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[equivalent]]\nkind = "same"\nmutants = ["a"]\n', "needs a reason"),
        ('[[equivalent]]\nkind = "luck"\nreason = "r"\nmutants = ["a"]\n', "kind out of same, speed"),
        ('[[equivalent]]\nkind = "same"\nreason = "r"\nmutants = ["a", "a"]\n', "listed twice: a"),
    ],
)
def test_a_malformed_entry_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.toml").write_text(text)
    with pytest.raises(ReviewError, match=message):
        equivalents(tmp_path / "list.toml")


def test_an_entry_that_matches_no_mutant_is_found() -> None:
    assert unknown({"a": 1, "b": 2}, {"b"}) == ["a"]
