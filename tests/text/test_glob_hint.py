"""A folder without a file that matches: the message has a pattern that does."""

from __future__ import annotations

from pathlib import Path

from charkit.errors import TextError
from charkit.text.file_search import find_files
from text_support import message_of


def test_a_folder_without_a_match_has_the_pattern_of_most_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "part" / "deeper").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    names = ["a.md", "part/b.py", "part/deeper/c.py", *(f".git/{number}.idx" for number in range(3))]
    for name in names:
        (tmp_path / name).touch()
    message = message_of(TextError, lambda: find_files([str(tmp_path)], ["*.txt"]))
    assert message.endswith("; name its files, or give another `glob`, such as '*.py'")
