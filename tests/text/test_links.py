"""Files with several names: the text is the same, whatever the order in which its files are named or found."""

from __future__ import annotations

from pathlib import Path

import pytest

from charkit.config import DataConfig
from charkit.text.corpus import open_corpus
from charkit.text.file_search import find_files
from charkit.text.locations import absolute
from text_support import text_of


@pytest.fixture
def links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder, the working directory, with two files and a link to one of them, which comes before both."""
    folder = tmp_path / "ln"
    folder.mkdir()
    for name in ("z.txt", "m.txt"):
        (folder / name).write_text(name)
    (folder / "a.txt").symlink_to(folder / "z.txt")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("texts", "globs"),
    [
        (["z.txt", "m.txt", "a.txt"], ["*.txt"]),
        (["a.txt", "z.txt", "m.txt"], ["*.txt"]),
        (["."], ["z*", "m*", "a*"]),
        (["."], ["a*", "m*", "z*"]),
        (["z.txt", "."], ["*.txt"]),
        ([".", "z.txt"], ["*.txt"]),
        (["m.txt", "../ln/z.txt", "."], ["a*"]),
    ],
)
def test_a_file_with_two_names_is_read_at_the_first_of_them(
    links: Path, texts: list[str], globs: list[str]
) -> None:
    assert [path.name for path in find_files(texts, globs).files] == ["a.txt", "m.txt"]
    assert [path.name for path in find_files(list(map(absolute, texts)), globs).files] == ["a.txt", "m.txt"]


@pytest.mark.parametrize("backwards", [False, True])
def test_the_order_of_a_folders_entries_does_not_matter(
    links: Path, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    real = Path.rglob

    def rglob(self: Path, pattern: str) -> list[Path]:
        return sorted(real(self, pattern), reverse=backwards)

    monkeypatch.setattr(Path, "rglob", rglob)
    with open_corpus(DataConfig(text=(str(links),))) as corpus:
        assert text_of(corpus) == "z.txtm.txt"


def test_a_linked_folder_and_its_target_are_read_at_the_first_name(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    for name in ("m/1.txt", "k.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "a").symlink_to(tmp_path / "m")
    texts = [str(tmp_path / name) for name in ("m", "k.txt", "a")]
    for given in (texts, texts[::-1]):
        found = find_files(given, ["*.txt"]).files
        assert [str(path.relative_to(tmp_path)) for path in found] == ["a/1.txt", "k.txt"]
