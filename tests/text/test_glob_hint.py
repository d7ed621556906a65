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


def test_only_files_that_a_text_can_be_made_of_are_counted(tmp_path: Path) -> None:
    for folder in ("__pycache__", "run", "part"):
        (tmp_path / folder).mkdir()
    (tmp_path / "run" / "config.json").write_text('{"format": 1, "config": {}}', "utf-8")
    for number in range(3):
        (tmp_path / "part" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\r")
        (tmp_path / "__pycache__" / f"{number}.pyc").touch()
        (tmp_path / "run" / f"{number}.jsonl").touch()
        (tmp_path / f"{number}.txt").symlink_to(tmp_path / "missing")
    (tmp_path / "part" / "a.md").touch()
    message = message_of(TextError, lambda: find_files([str(tmp_path)], ["*.txt"]))
    assert message.endswith(", such as '*.md'")
    (tmp_path / "part" / "a.md").unlink()
    assert message_of(TextError, lambda: find_files([str(tmp_path)], ["*.txt"])).endswith("another `glob`")
