"""Rules on calls: arguments swapped or left out, and calls that only hand their argument on."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mutation.rules.registry import PROSE, Site, called_name, changed, rule

#: Methods and functions whose result has the type of what they are given: one can be forgotten.
_METHODS = frozenset(
    {"detach", "copy", "clone", "cpu", "contiguous", "transpose", "reshape", "flatten", "ravel", "astype"}
    | {
        "to",
        "long",
        "block_until_ready",
        "requires_grad_",
        "sigmoid",
        "tanh",
        "mean",
        "sum",
        "clear",
        "strip",
    }
    | {"lower"}
)
_FUNCTIONS = frozenset(
    {"array", "asarray", "ascontiguousarray", "stop_gradient", "tanh", "_sigmoid", "sqrt", "square", "exp"}
    | {"log", "abs", "dict", "list", "tuple", "str", "int", "float", "reversed", "sorted", "min", "max"}
    | {"minimum", "maximum", "clamp", "_flat", "_rows", "wraps", "stack"}
)
#: Their arguments may come in any order.
_COMMUTATIVE = frozenset({"add", "multiply", "min", "max", "minimum", "maximum", "vdot"})


@rule("unwrapped")
def unwrapped(site: Site) -> Iterator[ast.AST]:
    """A call or attribute is replaced by what it wraps: ``x.detach()``, ``np.array(x)`` and ``x.T`` become ``x``."""
    match site.node:
        case ast.Call(func=ast.Attribute(value=value, attr=name), args=args):
            module = isinstance(value, ast.Name) and value.id in {"np", "jnp", "torch", "jax", "lax"}
            if name in _METHODS and not module:
                yield value
            elif name in _FUNCTIONS and args:
                yield args[0]
        case ast.Call(func=ast.Name(id=name), args=[first, *_]) if name in _FUNCTIONS:
            yield first
        case ast.Attribute(value=value, attr="T"):
            yield value


@rule("arguments")
def argument(site: Site) -> Iterator[ast.AST]:
    """Neighboring arguments are swapped, or a keyword argument is omitted."""
    node = site.node
    if not isinstance(node, ast.Call) or called_name(node) == "cast":
        return
    for place in range(called_name(node) in _COMMUTATIVE, len(node.args) - 1):
        one, other = node.args[place], node.args[place + 1]
        if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
            yield changed(node, args=[*node.args[:place], other, one, *node.args[place + 2 :]])
    for place, keyword in enumerate(node.keywords):
        if keyword.arg is not None and keyword.arg not in PROSE:
            yield changed(node, keywords=node.keywords[:place] + node.keywords[place + 1 :])


@rule("permutations")
def permutation(site: Site) -> Iterator[ast.AST]:
    """The elements of a tuple of numbers or names are reordered: ``(1, 0, 2)`` becomes ``(0, 1, 2)``."""
    match site.node:
        case ast.Tuple(elts=elements, ctx=ast.Load()) as node if not isinstance(site.parent, ast.Return):
            for place in range(len(elements) - 1):
                one, other = elements[place], elements[place + 1]
                if not isinstance(one, ast.Starred) and not isinstance(other, ast.Starred):
                    yield changed(node, elts=[*elements[:place], other, one, *elements[place + 2 :]])
