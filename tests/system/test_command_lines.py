"""Commands that are printed for the user to type."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit.system import command_lines
from charkit.system.command_lines import joined, quoted, quoted_path


@pytest.mark.parametrize(
    ("system", "word", "expected"),
    [
        ("posix", "runs/anna-1", "runs/anna-1"),
        ("posix", "my runs/anna-1", "'my runs/anna-1'"),
        ("posix", r"runs\anna-1", r"'runs\anna-1'"),
        ("nt", r"runs\anna-1", r"runs\anna-1"),
        ("nt", r"my runs\anna-1", r'"my runs\anna-1"'),
        ("nt", "torch>=2.1,<3", '"torch>=2.1,<3"'),
        ("nt", "a&b", '"a&b"'),
    ],
)
def test_a_word_is_quoted_as_the_shell_reads_it(
    monkeypatch: pytest.MonkeyPatch, system: str, word: str, expected: str
) -> None:
    monkeypatch.setattr(command_lines, "os", type("os", (), {"name": system}))
    assert quoted(word) == expected
    assert joined(["toolkit", word]) == f"toolkit {expected}"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("runs/a", "runs/a"),
        ("my runs", "'my runs'"),
        ("-a", "./-a"),
        ("--run x", "'./--run x'"),
        ("/-a", "/-a"),
    ],
)
def test_a_path_is_never_read_as_an_option(path: str, expected: str) -> None:
    assert quoted_path(Path(path)) == expected
