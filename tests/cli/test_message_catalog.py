"""All texts of charkit, checked for what a reader stumbles over. To read them: ``python tests/message_catalog.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from message_catalog import PACKAGES, ROOT, catalog, errors

#: Phrases that are no idiomatic English, and what is said instead.
AVOIDED = {
    r"\bis told\b": "is reported",
    r"\bstepped over\b": "skipped",
    r"\bgo on with\b": "resume",
    r"\bmake it first\b": "create it first",
    r"\bfits? no other\b": "can't be changed",
    r"\bthere is no folder\b": "directory ... doesn't exist",
    r"\bthere is no such folder\b": "the directory doesn't exist",
    r"\bmay stand\b": "works",
    r"\bgive more to\b": "raise",
    r"\bis not allowed to be written\b": "permission denied",
}
BRITISH = re.compile(
    r"\b\w*(colour|behaviour|neighbour|initialis|normalis|optimis(e|er|ation)\b|serialis|centre)\w*", re.I
)


def test_there_are_texts_of_every_package() -> None:
    messages = catalog()
    assert len(errors()) > 300
    found = {message.file for message in messages}
    for package in PACKAGES:
        assert any(file.startswith(f"{package}/") for file in found), package


def test_no_package_is_left_out() -> None:
    """Whatever is installed as a package of charkit is in the catalog, a new one too."""
    packages = {
        module.parent.relative_to(ROOT).as_posix()
        for folder in ("core", "cli", "formats", "comparison", "sweep", "reports", "pages", "trackers")
        for module in (ROOT / folder).glob("*/__init__.py")
    } | {
        module.parent.relative_to(ROOT).as_posix()
        for folder in ("backends", "engines")
        for module in (ROOT / folder).glob("*/*/__init__.py")
    }
    assert packages == set(PACKAGES)


@pytest.mark.parametrize("phrase", AVOIDED)
def test_no_text_has_an_avoided_phrase(phrase: str) -> None:
    found = [f"{one.file}:{one.line}: {one.text}" for one in catalog() if re.search(phrase, one.text)]
    assert not found, f"say {AVOIDED[phrase]!r} instead"


def test_texts_are_in_american_spelling() -> None:
    for message in catalog():
        assert not BRITISH.search(message.text), f"{message.file}:{message.line}: {message.text}"


def test_errors_are_one_line_without_a_period() -> None:
    for message in errors():
        where = f"{message.file}:{message.line}: {message.text}"
        assert "\n" not in message.text, where
        assert not re.search(r"[^.]\.$", message.text), where
        assert not re.match(r"[A-Z][a-z]+ ", message.text), where


#: A source that shows texts in every way that charkit has, and what the catalog must read from it.
SOURCE = '''"""A docstring, which is no message."""

LEGEND = "best of two"
#: {kind: text}
REASONS: dict[str, str] = {"stop": "stopped by hand"}


def f(x: "a type", y: Annotated[int, typer.Option("--y", help="size of it " + DEFAULT.format("all of it"))] = 0):
    """Another docstring."""
    on_notice(f"{x} is slow; " f"use {y}")
    console.print("no runs " + str(x))
    yield x or "not measured"
    if x:
        return f"{x}: {'far too slow' if y else 'fast enough'}"
    raise RunError(f"{x} is reported" + " now; " f"see {x!r}") from None
    raise AssertionError("an internal error")
    raise x


class Model(BaseModel):
    size: int = Field(1, description="hidden units per layer")
'''
READ = [
    ("text", "best of two", 3),
    ("text", "stopped by hand", 5),
    ("help", "size of it {...}", 8),
    ("text", "{...} is slow; use {...}", 10),
    ("text", "no runs {...}", 11),
    ("text", "not measured", 12),
    ("text", "far too slow", 14),
    ("text", "fast enough", 14),
    ("RunError", "{...} is reported now; see {...}", 15),
    ("help", "hidden units per layer", 21),
]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_catalog_reads_every_way_of_writing_a_text(package: str, tmp_path: Path) -> None:
    (tmp_path / package).mkdir(parents=True)
    (tmp_path / package / "bad.py").write_text(SOURCE)
    found = catalog(tmp_path)
    wanted = [(kind, text, f"{package}/bad.py", line) for kind, text, line in READ]
    assert [tuple(message) for message in found] == wanted


def test_the_catalog_reads_templates_and_recipes(tmp_path: Path) -> None:
    folder = tmp_path / "core/charkit"
    folder.mkdir(parents=True)
    (folder / "a.html.jinja").write_text(
        "<style>p { margin: 1px }</style>\n{# a comment #}<p>the loss of {{ run }} <b>by step</b></p>\n"
    )
    (folder / "b.toml").write_text('purpose = "for a large text"\n[data]\nbatch_size = 2\n')
    assert [tuple(message) for message in catalog(tmp_path)] == [
        ("page", "the loss of {...}", "core/charkit/a.html.jinja", 2),
        ("page", "by step", "core/charkit/a.html.jinja", 2),
        ("recipe", "for a large text", "core/charkit/b.toml", 1),
    ]
