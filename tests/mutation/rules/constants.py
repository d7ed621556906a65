"""Rules on numbers: constants, indices and the bounds of slices and ranges."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from mutation.rules.registry import Site, called_name, changed, rule

_SMALL = 0.01


@rule("constants")
def constant(site: Site) -> Iterator[ast.AST]:
    """A number becomes its neighbor, its double, its half or, if small, ten times as large; True becomes False."""
    match site.node:
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            if value > 0:
                yield ast.Constant(value - 1)
        case ast.Constant(value=float(value)):
            yield ast.Constant(1.0 if value == 0 else 10 * value if abs(value) < _SMALL else 2 * value)
            if value >= _SMALL:
                yield ast.Constant(value / 2)


@rule("slices")
def bound(site: Site) -> Iterator[ast.AST]:
    """A slice begins or ends one element earlier or later."""
    match site.node:
        case ast.Slice(lower=lower, upper=upper) as node:
            yield changed(node, lower=ast.Constant(1) if lower is None else _plus(lower, 1))
            yield changed(node, upper=ast.Constant(-1) if upper is None else _plus(upper, -1))
            if lower is not None:
                yield changed(node, lower=None)
            if upper is not None:
                yield changed(node, upper=_plus(upper, 1))
        case ast.Call(args=[first, second]) as node if called_name(node) == "slice":
            yield changed(node, args=[_plus(first, 1), second])
            if not (isinstance(second, ast.Constant) and second.value is None):
                yield changed(node, args=[first, _plus(second, -1)])


@rule("indices")
def index(site: Site) -> Iterator[ast.AST]:
    """A variable index selects the element before or after: ``x[t]`` becomes ``x[t - 1]``."""
    if isinstance(site.node, ast.Name) and site.node.id == "name":  # of a weight: no number
        return
    match site.node, site.parents[-1], site.parents[-2] if len(site.parents) > 1 else None:
        case (ast.Name(ctx=ast.Load()) as node, ast.Subscript(slice=inner), _) if inner is node:
            yield from (_plus(node, -1), _plus(node, 1))
        case (ast.Name(ctx=ast.Load()) as node, ast.Tuple() as around, ast.Subscript(slice=inner)) if (
            inner is around
        ):
            yield from (_plus(node, -1), _plus(node, 1))


@rule("ranges")
def loop(site: Site) -> Iterator[ast.AST]:
    """A loop omits its first or its last iteration, or runs one more."""
    match site.node:
        case ast.Call(func=ast.Name(id="range"), args=[end]) as node:
            yield changed(node, args=[ast.Constant(1), end])
            yield changed(node, args=[_plus(end, -1)])
            yield changed(node, args=[_plus(end, 1)])
        case ast.Call(func=ast.Name(id="range"), args=[start, end, *step]) as node:
            yield changed(node, args=[_plus(start, 1), end, *step])
            yield changed(node, args=[start, _plus(end, -1), *step])
            yield changed(node, args=[start, _plus(end, 1), *step])


def _plus(node: ast.expr, number: int) -> ast.expr:
    """The expression, plus a number that may be negative."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return ast.Constant(node.value + number)
    return ast.BinOp(node, ast.Add() if number > 0 else ast.Sub(), ast.Constant(abs(number)))
