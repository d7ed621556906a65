"""Every text of charkit that a user may meet, in one list, to be read as a user would.

Run as ``python tests/message_catalog.py [KIND...]``. Texts are read from the sources, so that none has to be provoked:
errors are what ``raise`` statements say, help is what options and commands say, pages are what the templates of
reports say, and every other string of more than one word is a text: notices, progress, tables, verdicts, advice, and
the promises of the conformance kit. What is filled in is shown as ``{...}``.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "core/charkit",
    "cli/charkit_cli",
    "formats/charkit_formats",
    "comparison/charkit_comparison",
    "sweep/charkit_sweep",
    "reports/charkit_reports",
    "pages/charkit_pages",
    "trackers/charkit_trackers",
    "engines/ray/charkit_ray",
    "backends/numpy/charkit_numpy",
    "backends/torch/charkit_torch",
    "backends/tensorflow/charkit_tensorflow",
    "backends/jax/charkit_jax",
)
KINDS = ("error", "help", "text", "page", "recipe")
#: Errors that no user sees: of charkit's own mistakes, and of what is caught inside.
_INTERNAL = {"AssertionError", "AttributeError", "KeyError", "StopIteration", "SystemExit", "TypeError"}
_MORE_THAN_ONE_WORD = re.compile(r"[A-Za-z]{2,}[^\s]* +[^\s]|[^\s] +[A-Za-z]{2,}")
#: The arguments that hold a help text: of Typer's options, and of the configuration's fields.
_HELP_ARGUMENTS = {"help", "description"}
_MARKUP = re.compile(r"<(style|script)\b.*?</\1>|\{#.*?#\}|\{%.*?%\}", re.DOTALL)


class Message(NamedTuple):
    """A text, its kind (the name of the error for an error), and where it is written."""

    kind: str
    text: str
    file: str
    line: int


@cache
def catalog(root: Path = ROOT) -> tuple[Message, ...]:
    """The texts in the order of the sources."""
    return tuple(message for package in PACKAGES for message in _package(root / package, root))


def errors(root: Path = ROOT) -> list[Message]:
    """The texts of errors alone."""
    return [message for message in catalog(root) if message.kind not in KINDS]


def _package(folder: Path, root: Path) -> Iterator[Message]:
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(root).as_posix()
        match file.suffix:
            case ".py":
                yield from _Python(name).messages(ast.parse(file.read_text("utf-8")))
            case ".jinja":
                yield from _template(file.read_text("utf-8"), name)
            case ".toml":
                yield from _recipe(tomllib.loads(file.read_text("utf-8")), name)


class _Python:
    """Collects the texts of one module."""

    def __init__(self, file: str) -> None:
        self._file = file

    def messages(self, node: ast.AST, kind: str = "text") -> Iterator[Message]:
        match node:
            case ast.Raise(exc=ast.Call(func=called)):
                kind = ast.unparse(called)
                if kind in _INTERNAL or kind.startswith("_"):
                    return
            case ast.keyword(arg=str(argument)) if argument in _HELP_ARGUMENTS:
                kind = "help"
            case ast.Expr(value=ast.Constant()):  # a docstring
                return
            case ast.Constant() | ast.JoinedStr() | ast.BinOp(op=ast.Add()):
                text = _text(node)
                if _MORE_THAN_ONE_WORD.search(text):
                    yield Message(kind, text, self._file, getattr(node, "lineno", 0))
                    return
        for child in ast.iter_child_nodes(node):
            if not _is_annotation(node, child):
                yield from self.messages(child, kind)


def _is_annotation(node: ast.AST, child: ast.AST) -> bool:
    """Whether the child is a type in quotes, which is no text; options and their help are in ``Annotated``."""
    return child is getattr(node, "annotation", None) and isinstance(child, ast.Constant)


def _text(node: ast.AST) -> str:
    """A string as it is written, with ``{...}`` for what is filled in; empty for what is none."""
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "{...}" for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            both = _text(left), _text(right)
            return "".join(part or "{...}" for part in both) if any(both) else ""
    return ""


def _template(source: str, file: str) -> Iterator[Message]:
    """The texts between the tags of a template."""
    visible = _MARKUP.sub(lambda markup: "\n" * markup[0].count("\n"), source)
    visible = re.sub(r"\{\{.*?\}\}", "{...}", visible)
    for number, line in enumerate(visible.splitlines(), 1):
        for text in re.split(r"<[^>]*>", line):
            if _MORE_THAN_ONE_WORD.search(text):
                yield Message("page", text.strip(), file, number)


def _recipe(content: Any, file: str) -> Iterator[Message]:
    values = content.values() if isinstance(content, dict) else content
    for value in values:
        if isinstance(value, dict | list):
            yield from _recipe(value, file)
        elif isinstance(value, str) and _MORE_THAN_ONE_WORD.search(value):
            yield Message("recipe", value, file, 1)


if __name__ == "__main__":
    wanted = sys.argv[1:]
    for message in catalog():
        kind = message.kind if message.kind in KINDS else "error"
        if not wanted or kind in wanted:
            text = message.text.replace("\n", "\n    ")
            print(f"{message.file}:{message.line}: {message.kind}\n    {text}")  # noqa: T201 - what it is for
