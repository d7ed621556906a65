"""Generates docs/contract.md from the docstrings and signatures of the contract, with every rule numbered.

A paragraph, list item or ``#:`` comment is a rule. Its number is its section's and its place in the section.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType
from typing import NamedTuple

from charkit import backend, capabilities, config, hookspecs, weights
from guide.pages import anchor

INTRODUCTION = """\
# The contract

This page defines what a backend must implement and what it may rely on. Start with [Writing a
backend](backends.md). [The checks](kit.md) shows how these rules are checked, and [Publishing a
backend](publishing.md#versions-of-the-contract) explains how the contract is versioned.

This page is generated from the docstrings and signatures in `charkit/backend.py`, `weights.py`, `config.py`,
`capabilities.py` and `hookspecs.py` (`python tests/guide/generate.py`). Every rule has a number.
"""


class Section(NamedTuple):
    """A heading, and the objects of a module below it. An empty name is the docstring of the module itself."""

    title: str
    module: ModuleType
    names: tuple[str, ...]


SECTIONS = (
    Section("Conventions", backend, ("",)),
    Section("Canonical weights", weights, ("", "weight_shapes", "decays")),
    Section("Settings", config, ("ModelConfig", "OptimizerConfig")),
    Section("Data", backend, ("State", "Moments", "Rates")),
    Section("The four parts", backend, ("Lstm", "Output", "Loss", "Optimizer")),
    Section("Differentiation", backend, ("Forward", "Backward")),
    Section("The backend", backend, ("Backend",)),
    Section("Helpers", backend, ("available_threads", "float_dtype")),
    Section("Capabilities", capabilities, ("", "CAPABILITIES")),
    Section(
        "Registration",
        hookspecs,
        ("", "BackendInfo", "charkit_backend", "ENTRY_POINT_GROUP", "API_VERSION", "CONTRACT_CHANGES"),
    ),
)
Function = ast.FunctionDef


def page() -> str:
    """The text of docs/contract.md."""
    contents = "".join(
        f"{number}. [{section.title}](#{anchor(heading(number, section))})\n"
        for number, section in enumerate(SECTIONS, start=1)
    )
    parts = [INTRODUCTION, contents]
    for number, section in enumerate(SECTIONS, start=1):
        parts += [f"## {heading(number, section)}\n", *_Writer(number, section.module).section(section.names)]
    return "\n".join(parts)


def heading(number: int, section: Section) -> str:
    """The numbered title of a section."""
    return f"{number}. {section.title}"


class _Writer:
    """Writes one section, and counts its rules."""

    def __init__(self, number: int, module: ModuleType) -> None:
        self.number, self.module, self.rules = number, module, 0
        self.lines = inspect.getsource(module).splitlines()
        self.tree = ast.parse("\n".join(self.lines))

    def section(self, names: tuple[str, ...]) -> Iterator[str]:
        for name in names:
            if not name:
                yield from self._rules(ast.get_docstring(self.tree))
                continue
            node = next(node for node in self.tree.body if name in _names(node))
            yield f"### `{name}`\n"
            if isinstance(node, ast.ClassDef):
                yield from self._class(node)
            elif isinstance(node, Function):
                yield from self._function(node, node.name)
            else:
                yield from self._constant(node)

    def _class(self, node: ast.ClassDef) -> Iterator[str]:
        calls = [one for one in node.body if isinstance(one, Function) and one.name == "__call__"]
        for call in calls:
            yield _code(_signature(call, node.name.lower()))
        yield from self._rules(ast.get_docstring(node))
        for call in calls:
            yield from self._rules(ast.get_docstring(call))
        if issubclass(getattr(self.module, node.name), config.Section):
            yield from _settings(getattr(self.module, node.name))
            return
        is_tuple = any(ast.unparse(base) == "NamedTuple" for base in node.bases)
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        if is_tuple:
            yield _code("\n".join(self._field(field) for field in fields))
        for field in [] if is_tuple else fields:
            yield f"#### `{ast.unparse(field.target)}`\n"
            yield from self._constant(field)
        for method in node.body:
            if isinstance(method, Function) and method not in calls:
                yield f"#### `{method.name}`\n"
                yield from self._function(method, method.name)

    def _function(self, node: Function, name: str) -> Iterator[str]:
        marks = [ast.unparse(mark) for mark in node.decorator_list]
        shown = [f"@{mark}" for mark in marks if mark in {"classmethod", "abstractmethod"}]
        yield _code("\n".join([*shown, _signature(node, name)]))
        yield from self._rules(ast.get_docstring(node))

    def _constant(self, node: ast.stmt) -> Iterator[str]:
        yield _code(_plain(self._source(node)))
        yield from self._rules(" ".join(self._comment(node)))

    def _field(self, node: ast.stmt) -> str:
        """A field of a named tuple, below its comment."""
        return "\n".join([*(f"# {line}" for line in self._comment(node)), _plain(self._source(node))])

    def _comment(self, node: ast.stmt) -> list[str]:
        """The text of the ``#:`` comment above a statement, by lines."""
        start = end = node.lineno - 1
        while self.lines[start - 1].strip().startswith("#:"):
            start -= 1
        return [line.strip()[2:].strip() for line in self.lines[start:end]]

    def _source(self, node: ast.stmt) -> str:
        return textwrap.dedent("\n".join(self.lines[node.lineno - 1 : node.end_lineno]))

    def _rules(self, docstring: str | None) -> Iterator[str]:
        """Each paragraph or list item as a numbered rule; an indented block is code of the rule before it."""
        for block in filter(None, (docstring or "").split("\n\n")):
            if all(line.startswith("    ") for line in block.splitlines()):
                yield _code(textwrap.dedent(block), "")
                continue
            for rule in re.split(r"^- ", block, flags=re.MULTILINE):
                if rule.strip():
                    self.rules += 1
                    yield f"**{self.number}.{self.rules}** {_markdown(rule)}\n"


def _names(node: ast.stmt) -> set[str]:
    """What a statement of a module defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _signature(node: Function, name: str) -> str:
    """How the function is called and what it returns, without self, cls and the parameters of generic types."""
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, )?", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = _plain(f"def {name}({arguments}){returns}")
    return line if len(line) <= 110 else _plain(f"def {name}(\n    {arguments}\n){returns}")


def _plain(code: str) -> str:
    """Code without the parameters of generic types and without the wrapper of class variables."""
    code = re.sub(r"\[(Tensor|Any)\]", "", code)
    return re.sub(r"ClassVar\[((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1", code)


def _settings(section: type[config.Section]) -> Iterator[str]:
    """A section of the configuration as a table."""
    yield "| field | type | default | allowed | meaning |\n|---|---|---|---|---|"
    words = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}
    for name, field in section.model_fields.items():
        kind = getattr(field.annotation, "__name__", field.annotation)
        limits = [
            f"{words[type(limit).__name__]} {getattr(limit, type(limit).__name__.lower()):g}"
            for limit in field.metadata
            if type(limit).__name__ in words
        ]
        default = "required" if field.is_required() else f"`{field.default}`"
        yield f"| `{name}` | {kind} | {default} | {', '.join(limits)} | {field.description} |"
    yield ""


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```\n"


def _markdown(text: str) -> str:
    return " ".join(text.split()).replace("``", "`")
