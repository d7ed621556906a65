"""Every mutant that the rules make of a file: the same program with a single change.

A mutant is known by what was changed and not by where it stands, so that a list of reviewed mutants outlives
edits elsewhere in the file: backend, file, function, rule, the text before and after, and a number where several
are alike.
"""

from __future__ import annotations

import ast
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from mutation.rules.all_rules import RULES, Site
from mutation.rules.registry import PROSE

#: An identity shows the largest expression around the change that is not longer than this.
_SHOWN = 90
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)
_BLOCKS = ("body", "orelse", "finalbody", "handlers")


@dataclass(frozen=True)
class Mutant:
    """One change to one file."""

    backend: str
    file: str  # within the package, such as ``lstm.py``
    function: str  # the qualified name of the innermost function or class; empty at module level
    rule: str
    before: str
    after: str
    occurrence: int  # counts mutants that are alike in all of the above, from 1
    source: str = field(repr=False, compare=False)  # the whole file, changed

    @property
    def identity(self) -> str:
        """The mutant's name: what the lists of reviewed mutants know it by."""
        where = f"{self.backend} {self.file}" + (f" {self.function}" if self.function else "")
        number = f" ({self.occurrence})" if self.occurrence > 1 else ""
        return f"{where}: {self.rule}: {self.before} -> {self.after}{number}"


class _Place(NamedTuple):
    """A field of a node, or an element of a field that is a list."""

    parent: ast.AST
    field: str
    position: int | None

    def put(self, node: Any) -> None:
        if self.position is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.position] = node


def mutants_of(backend: str, file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a file, each once: changes that give the same program are one mutant.

    Changes that don't compile are left out.
    """
    tree = ast.parse(source)
    parts = [ast.unparse(statement) for statement in tree.body]
    numbers = {id(statement): number for number, statement in enumerate(tree.body)}
    seen, alike = set(enumerate(parts)), Counter[str]()
    for place, site in _sites(tree):
        number = numbers[id(site.parents[1] if len(site.parents) > 1 else site.node)]
        for kind, rules in RULES.items():
            for other in (other for rule in rules for other in rule(site)):
                before = _shown(site)
                place.put(other)
                after, part = _shown(site, other), ast.unparse(tree.body[number])
                place.put(site.node)
                if (number, part) in seen or not _compiles(part):
                    continue
                seen.add((number, part))
                text = "\n\n".join([*parts[:number], part, *parts[number + 1 :]]) + "\n"
                mutant = Mutant(backend, file, _function(site), kind, before, after, 1, text)
                alike[mutant.identity] += 1
                yield replace(mutant, occurrence=alike[mutant.identity])


def _sites(tree: ast.Module) -> Iterator[tuple[_Place, Site]]:
    """Every node that rules may change, from the outside in, with its surroundings."""
    names: dict[int, frozenset[str]] = {}

    def walk(node: ast.AST, parents: tuple[ast.AST, ...]) -> Iterator[tuple[_Place, Site]]:
        inner = (*parents, node)
        for name, value in ast.iter_fields(node):
            for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(child, ast.AST) or _is_left_alone(node, name, child):
                    continue
                around = next((one for one in reversed(inner) if isinstance(one, ast.FunctionDef)), tree)
                if id(around) not in names:
                    names[id(around)] = _names(around)
                yield _Place(node, name, index), Site(child, inner, name, names[id(around)])
                if not isinstance(child, ast.Raise):
                    yield from walk(child, inner)

    return walk(tree, ())


def _names(around: ast.AST) -> frozenset[str]:
    found = {node.id for node in ast.walk(around) if isinstance(node, ast.Name)}
    return frozenset(found | {node.arg for node in ast.walk(around) if isinstance(node, ast.arg)})


def _is_left_alone(parent: ast.AST, name: str, node: ast.AST) -> bool:
    """Whether no rule may change the node: documentation, types, imports, and texts for people."""
    match parent, name, node:
        case (_, "annotation" | "returns" | "bases" | "type_params" | "ctx", _):
            return True
        case (_, "decorator_list", ast.Name() | ast.Attribute()):
            return True
        case (_, _, ast.Import() | ast.ImportFrom() | ast.Global() | ast.Nonlocal()):
            return True
        case (_, "body", ast.Expr(value=ast.Constant(value=str()))):
            return isinstance(parent, _DOCUMENTED)
        case (ast.Module(), _, ast.Assign(targets=[ast.Name(id=alias)])):
            return alias == "__all__" or (
                alias[:1].isupper() and not alias.isupper()
            )  # a type by another name
    return isinstance(node, ast.keyword) and node.arg in PROSE


def _function(site: Site) -> str:
    around = [*site.parents, site.node]
    return ".".join(one.name for one in around if isinstance(one, ast.FunctionDef | ast.ClassDef))


def _shown(site: Site, other: ast.AST | None = None) -> str:
    """The text of the change with as much around it as is short; with ``other``, after it was made."""
    best = _text(site.node if other is None else other)
    if isinstance(site.node, ast.stmt):
        return best
    for parent in reversed(site.parents):
        if isinstance(parent, ast.Module | ast.FunctionDef | ast.ClassDef | ast.Lambda):
            break
        if len(_text(parent)) > _SHOWN:
            break
        best = _text(parent)
        if isinstance(parent, ast.stmt):
            break
    return best


def _text(node: ast.AST) -> str:
    """The node as one line; of a compound statement, its head."""
    if any(hasattr(node, block) for block in _BLOCKS) and isinstance(node, ast.stmt):
        return ast.unparse(node).splitlines()[0]
    return " ".join(ast.unparse(node).split())


def _compiles(text: str) -> bool:
    try:
        with warnings.catch_warnings(action="ignore"):  # such as that a number is compared with "is"
            compile(text, "mutant", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True
