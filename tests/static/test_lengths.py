"""Files and functions are short enough to read at once, or say beside them why not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Folders of the project's own code.
FOLDERS = (
    *("core", "cli", "comparison", "sweep", "formats", "pages", "reports", "trackers", "backends", "engines"),
    *("benchmarks", "tests"),
)
MOST_LINES, MOST_FUNCTION_LINES = 300, 60
#: A comment at the top of a file, and one above a function.
FILE_REASON, FUNCTION_REASON = (
    re.compile(r"^# Over 300 lines: \S", re.MULTILINE),
    re.compile(r"# Long, since \S"),
)


def files() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def too_long(source: str) -> Iterator[str]:
    """What is too long in a file without a reason beside it."""
    lines = source.splitlines()
    if len(lines) > MOST_LINES and not FILE_REASON.search("\n".join(lines[:30])):
        yield f"{len(lines)} lines"
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MOST_FUNCTION_LINES and not FUNCTION_REASON.search(
            "\n".join(lines[max(0, first - 4) : first])
        ):
            yield f"{node.name}, {length} lines"


def test_everything_is_short_or_says_why_not() -> None:
    assert len(files()) > 500
    found = {path: list(too_long(path.read_text("utf-8"))) for path in files()}
    assert {str(path.relative_to(ROOT)): what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 1\n" * 301, ["301 lines"]),
        ('"""A file."""\n\n# Over 300 lines: a table.\n' + "x = 1\n" * 301, []),
        ("def f():\n" + "    x = 1\n" * 60, ["f, 61 lines"]),
        ("# Long, since a table.\n@decorated\ndef f():\n" + "    x = 1\n" * 60, []),
        ("def f():\n" + "    x = 1\n" * 59, []),
    ],
)
def test_what_is_too_long_is_found(source: str, what: list[str]) -> None:
    assert list(too_long(source)) == what
