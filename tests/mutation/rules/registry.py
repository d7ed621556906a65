"""What a rule is: a function from a node of a syntax tree to other nodes that could stand in its place."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

#: What a plugin's registration says to people; no check can know whether it is well said.
PROSE = frozenset({"summary", "requires", "verified"})
NodeT = TypeVar("NodeT", bound=ast.AST)


@dataclass(frozen=True)
class Site:
    """A node and its surroundings."""

    node: ast.AST
    parents: tuple[ast.AST, ...]  # outermost first
    field: str  # the parent's field that holds the node
    names: frozenset[str]  # every name in the function around it

    @property
    def parent(self) -> ast.AST:
        return self.parents[-1]


Rule = Callable[[Site], Iterator[ast.AST]]
RULES: dict[str, list[Rule]] = {}


def rule(kind: str) -> Callable[[Rule], Rule]:
    """Registers a function as one of the rules of a kind."""

    def register(function: Rule) -> Rule:
        RULES.setdefault(kind, []).append(function)
        return function

    return register


def changed(node: NodeT, **fields: Any) -> NodeT:
    """A copy of the node with these fields replaced; everything below them is shared."""
    other = copy.copy(node)
    for name, value in fields.items():
        setattr(other, name, value)
    return other


def called_name(node: ast.AST) -> str:
    """The last part of the name that a call calls: ``tanh`` of ``np.tanh(x)``; empty for anything else."""
    match node:
        case ast.Call(func=ast.Name(id=name)) | ast.Call(func=ast.Attribute(attr=name)):
            return name
    return ""
