"""Every error message of charkit in one list, to be read as a user would.

Run as ``python tests/message_catalog.py``. Messages are those of ``raise`` statements, read from the sources; what
is filled in is shown as ``{...}``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "core/charkit",
    "cli/charkit_cli",
    "formats/charkit_formats",
    "comparison/charkit_comparison",
    "sweep/charkit_sweep",
)
#: Errors that no user sees: of charkit's own mistakes, and of what is caught inside.
_INTERNAL = {"AssertionError", "AttributeError", "KeyError", "StopIteration", "SystemExit", "TypeError"}


class Message(NamedTuple):
    """A message, the error that has it, and where it is raised."""

    error: str
    text: str
    file: str
    line: int


def catalog(root: Path = ROOT) -> list[Message]:
    """The messages in the order of the sources."""
    files = [file for package in PACKAGES for file in sorted((root / package).rglob("*.py"))]
    return [message for file in files for message in _messages(file, root)]


def _messages(file: Path, root: Path) -> Iterator[Message]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        match node:
            case ast.Raise(exc=ast.Call(func=called, args=[first, *_])):
                error = ast.unparse(called)
                text = _text(first)
                if text and error not in _INTERNAL and not error.startswith("_"):
                    yield Message(error, text, str(file.relative_to(root)), node.lineno)


def _text(node: ast.expr) -> str:
    """A string as it is written, with ``{...}`` for what is filled in; empty for what is none."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "{...}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
    return ""


if __name__ == "__main__":
    for message in catalog():
        print(f"{message.file}:{message.line}: {message.error}\n    {message.text}")  # noqa: T201 - what it is for
