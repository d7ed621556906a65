"""The core names no framework and no engine's library: not in its code, its messages or its hints.

Docstrings and comments may, to explain.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "core" / "charkit"
FRAMEWORK = re.compile(r"torch|tensorflow|jax|keras|flax|optax|\bmlx\b|\bray\b", re.IGNORECASE)
#: What the conformance kit knows about frameworks, to tell an author what a backend does wrong: settings of the
#: process that a backend must leave alone, and mistakes that are named after the library that computes so.
KNOWLEDGE_OF_THE_KIT = ("testing/isolated/process_settings.py", "testing/mistakes/")
#: Names that options have in other toolkits, of which one has a framework's name in it.
NAMES_ELSEWHERE = ("synonyms.py",)


def named(source: str) -> list[str]:
    """The identifiers and texts of a module that name a framework, each with its line."""
    tree = ast.parse(source)
    docstrings = {id(node) for node in _docstrings(tree)}
    return [
        f"{line}: {word}"
        for node in ast.walk(tree)
        if id(node) not in docstrings
        for line, word in _words(node)
        if FRAMEWORK.search(word)
    ]


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as docstring), *_]:
                    yield docstring


def _words(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The identifiers of a node itself, or its text."""
    match node:
        case ast.Constant(value=str() as text) | ast.Name(id=text) | ast.Attribute(attr=text):
            yield node.lineno, text
        case ast.arg(arg=text) | ast.keyword(arg=str() as text) | ast.alias(name=text):
            yield node.lineno, text
        case ast.ClassDef(name=text) | ast.FunctionDef(name=text) | ast.AsyncFunctionDef(name=text):
            yield node.lineno, text
        case ast.ImportFrom(module=str() as text):
            yield node.lineno, text


def test_the_core_names_no_framework() -> None:
    files = sorted(CORE.rglob("*.py"))
    assert len(files) > 50
    found = {
        str(path): lines
        for path in (file.relative_to(CORE) for file in files)
        if not str(path).startswith((*KNOWLEDGE_OF_THE_KIT, *NAMES_ELSEWHERE))
        if (lines := named((CORE / path).read_text("utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize(
    "source",
    [
        'OWN = ("numpy", "torch")',
        'def f(name):\n    """Returns it."""\n    raise ValueError(f"pip install {name}, as for PyTorch")',
        "torch = None",
        "def of_keras(): ...",
        "class JaxBackend: ...",
        "def f(tensorflow): ...",
        "from charkit_jax import f",
        "f(jax=1)",
        "f().torch_version",
    ],
)
def test_a_name_is_found(source: str) -> None:
    assert len(named(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        '"""As torch does."""',
        'class A:\n    """As torch does."""',
        'def f():\n    """As torch does."""',
        "# as torch does\nf()",
    ],
)
def test_an_explanation_is_not(source: str) -> None:
    assert named(source) == []
