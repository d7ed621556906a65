"""All error messages, checked for what a reader stumbles over. To read them: ``python tests/message_catalog.py``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from message_catalog import catalog

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


def test_there_are_messages() -> None:
    messages = catalog()
    assert len(messages) > 300
    assert {message.file.partition("/")[0] for message in messages} >= {
        "core",
        "cli",
        "formats",
        "comparison",
    }


@pytest.mark.parametrize("phrase", AVOIDED)
def test_no_message_has_an_avoided_phrase(phrase: str) -> None:
    found = [f"{one.file}:{one.line}: {one.text}" for one in catalog() if re.search(phrase, one.text)]
    assert not found, f"say {AVOIDED[phrase]!r} instead"


def test_messages_are_one_line_without_a_period_in_american_spelling() -> None:
    for message in catalog():
        where = f"{message.file}:{message.line}: {message.text}"
        assert "\n" not in message.text, where
        assert not re.search(r"[^.]\.$", message.text), where
        assert not BRITISH.search(message.text), where
        assert not re.match(r"[A-Z][a-z]+ ", message.text), where


def test_the_catalog_reads_every_way_of_writing_a_message(tmp_path: Path) -> None:
    (tmp_path / "core/charkit").mkdir(parents=True)
    (tmp_path / "core/charkit/bad.py").write_text(
        'def f(x):\n    raise RunError(f"{x} is told" + " now; " f"see {x!r}") from None\n'
        '    raise AssertionError("internal")\n    raise x\n'
    )
    [found] = catalog(tmp_path)
    assert found == ("RunError", "{...} is told now; see {...}", "core/charkit/bad.py", 2)
